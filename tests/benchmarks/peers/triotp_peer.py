"""triotp: generic servers and supervisors of trio tasks, all on one thread."""

import contextlib
import importlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import ModuleType

# Untyped, and not there unless the extra `bench` is.
trio = importlib.import_module("trio")
testing = importlib.import_module("trio.testing")
application = importlib.import_module("triotp.application")
dynamic_supervisor = importlib.import_module("triotp.dynamic_supervisor")
gen_server = importlib.import_module("triotp.gen_server")
mailbox = importlib.import_module("triotp.mailbox")
node = importlib.import_module("triotp.node")
supervisor = importlib.import_module("triotp.supervisor")

MEMBERS = 1_000  # of the ring


async def tell(count: int) -> float:
    """Seconds of `count` casts, the last of them handled."""
    done = trio.Event()
    left = [count]

    async def handle_cast(_message: object, state: object) -> object:
        left[0] -= 1
        if not left[0]:
            done.set()
        return gen_server.NoReply(), state

    async with _servers({"sink": _server(handle_cast=handle_cast)}):
        begin = time.perf_counter()
        for _ in range(count):
            await gen_server.cast("sink", None)
        await done.wait()
        return time.perf_counter() - begin


async def ask(count: int) -> float:
    """Seconds of `count` calls by one task."""
    async with _servers({"echo": _server(handle_call=_echo)}):
        begin = time.perf_counter()
        for _ in range(count):
            await gen_server.call("echo", None)
        return time.perf_counter() - begin


async def ring(hops: int) -> float:
    """Seconds of `hops` by one message in a ring of 1,000."""
    done = trio.Event()

    def member(following: str) -> ModuleType:
        async def handle_cast(left: int, state: object) -> object:
            if left:
                await gen_server.cast(following, left - 1)
            else:
                done.set()
            return gen_server.NoReply(), state

        return _server(handle_cast=handle_cast)

    members = {f"m{number}": member(f"m{(number + 1) % MEMBERS}") for number in range(MEMBERS)}
    async with _servers(members):
        begin = time.perf_counter()
        await gen_server.cast("m0", hops)
        await done.wait()
        return time.perf_counter() - begin


async def start_child(count: int) -> float:
    """Seconds until `count` children of a dynamic supervisor have begun; each is waited for."""
    started = trio.Event()

    async def init(_argument: object) -> object:
        started.set()
        return None

    server = _server(init=init)
    options = supervisor.options(max_restarts=3, max_seconds=5)
    async with trio.open_nursery() as nursery:
        pool = await nursery.start(dynamic_supervisor.start, options)
        begin = time.perf_counter()
        for number in range(count):
            started = trio.Event()
            await dynamic_supervisor.start_child(pool, supervisor.child_spec(str(number), gen_server.start, [server]))
            await started.wait()
        taken = time.perf_counter() - begin
        nursery.cancel_scope.cancel()
    return taken


async def crash_cycle(count: int) -> float:
    """Seconds of `count` crashes, each of a task that its supervisor has started again."""
    done = trio.Event()
    left = [count]

    async def crash() -> None:
        if not left[0]:
            done.set()
            await trio.sleep_forever()
        left[0] -= 1
        raise RuntimeError("crashed as planned")

    options = supervisor.options(max_restarts=1_000_000_000, max_seconds=1)
    async with trio.open_nursery() as nursery:
        begin = time.perf_counter()
        await nursery.start(supervisor.start, [supervisor.child_spec("crasher", crash, [])], options)
        await done.wait()
        taken = time.perf_counter() - begin
        nursery.cancel_scope.cancel()
    return taken


def _run(feat: Callable[[int], Awaitable[float]]) -> Callable[[int], float]:
    """`feat` in a node of its own."""

    def run(count: int) -> float:
        logging.disable(logging.CRITICAL)
        taken: list[float] = []
        main = ModuleType("main")

        async def start(_argument: object) -> None:
            taken.append(await feat(count))

        main.__dict__["start"] = start
        node.run(apps=[application.app_spec(module=main, start_arg=None, permanent=False)])
        return taken[0]

    return run


@contextlib.asynccontextmanager
async def _servers(servers: dict[str, ModuleType]) -> AsyncGenerator[None]:
    """Servers under their names, for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        for name, server in servers.items():
            nursery.start_soon(gen_server.start, server, None, name)
        await testing.wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


def _server(**callbacks: object) -> ModuleType:
    server = ModuleType("server")
    server.__dict__.update({"init": _init, "terminate": _terminate, **callbacks})
    return server


async def _init(_argument: object) -> object:
    return None


async def _terminate(_reason: object, _state: object) -> None:
    """Say nothing."""


async def _echo(message: object, _caller: object, state: object) -> object:
    return gen_server.Reply(message), state


FEATS: dict[str, Callable[[int], float]] = {
    "tell": _run(tell),
    "ask": _run(ask),
    "ring": _run(ring),
    "start-child": _run(start_child),
    "crash-cycle": _run(crash_cycle),
}
