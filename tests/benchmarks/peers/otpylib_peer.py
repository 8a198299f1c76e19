"""otpylib: generic servers and supervisors of asyncio tasks, all on one thread."""

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

# Untyped, and not there unless the extra `bench` is.
asyncio_backend = importlib.import_module("otpylib.runtime.backends.asyncio_backend")
dynamic_supervisor = importlib.import_module("otpylib.dynamic_supervisor")
gen_server = importlib.import_module("otpylib.gen_server")
loguru = importlib.import_module("loguru")
module = importlib.import_module("otpylib.module")
process = importlib.import_module("otpylib.process")
registry = importlib.import_module("otpylib.runtime")
supervisor = importlib.import_module("otpylib.supervisor")

MEMBERS = 1_000  # of the ring
PATIENCE = 60.0
WATCHED_AFTER = 5  # turns of the loop, until a supervisor watches a child that has started: it must not crash before

OTPModule: Any = module.OTPModule
GEN_SERVER, SUPERVISOR, DYNAMIC = module.GEN_SERVER, module.SUPERVISOR, module.DYNAMIC_SUPERVISOR


class _Callbacks:
    """A server that does nothing."""

    async def init(self, argument: Any) -> Any:
        return argument

    async def handle_call(self, message: Any, _caller: Any, state: Any) -> Any:
        return gen_server.Reply(payload=message), state

    async def handle_cast(self, _message: Any, state: Any) -> Any:
        return gen_server.NoReply(), state

    async def handle_info(self, _message: Any, state: Any) -> Any:
        return gen_server.NoReply(), state

    async def terminate(self, _reason: Any, _state: Any) -> None:
        """Say nothing."""


def _module(name: str, behavior: Any, **callbacks: Any) -> Any:
    """A class as otpylib has it: all its callbacks stand in its own body."""
    inherited = {key: value for key, value in vars(_Callbacks).items() if not key.startswith("__")}
    body = {
        **(inherited if behavior is GEN_SERVER else {"terminate": inherited["terminate"]}),
        **callbacks,
        "__module__": __name__,
    }
    return OTPModule(name, (), body, behavior=behavior, version="1.0.0")


async def tell(count: int) -> float:
    """Seconds of `count` casts, the last of them handled."""
    done = asyncio.Event()

    async def handle_cast(_self: Any, _message: object, left: int) -> object:
        if left == 1:
            done.set()
        return gen_server.NoReply(), left - 1

    sink = await gen_server.start(_module("Sink", GEN_SERVER, handle_cast=handle_cast), count)
    begin = time.perf_counter()
    for _ in range(count):
        await gen_server.cast(sink, None)
    await done.wait()
    return time.perf_counter() - begin


async def ask(count: int) -> float:
    """Seconds of `count` calls by one process."""
    await gen_server.start(_module("Echo", GEN_SERVER), name="echo")
    begin = time.perf_counter()
    for _ in range(count):
        await gen_server.call("echo", None)
    return time.perf_counter() - begin


async def ring(hops: int) -> float:
    """Seconds of `hops` by one message in a ring of 1,000."""
    done = asyncio.Event()

    async def handle_cast(_self: Any, message: Any, following: Any) -> object:
        if not isinstance(message, int):
            return gen_server.NoReply(), message
        if message:
            await gen_server.cast(following, message - 1)
        else:
            done.set()
        return gen_server.NoReply(), following

    member = _module("Member", GEN_SERVER, handle_cast=handle_cast)
    pids = [await gen_server.start(member) for _ in range(MEMBERS)]
    for pid, following in zip(pids, (*pids[1:], pids[0]), strict=True):
        await gen_server.cast(pid, following)
    begin = time.perf_counter()
    await gen_server.cast(pids[0], hops)
    await done.wait()
    return time.perf_counter() - begin


async def start_child(count: int) -> float:
    """Seconds of `count` calls of a dynamic supervisor's `start_child`."""

    async def init(_self: Any, _argument: Any) -> Any:
        return [], dynamic_supervisor.options()

    echo = _module("Echo", GEN_SERVER)
    pool = await dynamic_supervisor.start(_module("Pool", DYNAMIC, init=init))
    begin = time.perf_counter()
    for number in range(count):
        answer = await dynamic_supervisor.start_child(pool, _ChildSpec(id=str(number), module=echo))
        assert isinstance(answer, tuple), answer
    return time.perf_counter() - begin


async def crash_cycle(count: int) -> float:
    """Seconds of `count` crashes, each of a server that its supervisor has started again."""
    started: asyncio.Queue[Any] = asyncio.Queue()

    async def init(_self: Any, argument: Any) -> Any:
        started.put_nowait(process.self())
        return argument

    async def handle_info(_self: Any, _message: object, _state: object) -> object:
        raise RuntimeError("crashed as planned")

    crasher = _module("Crasher", GEN_SERVER, init=init, handle_info=handle_info)
    options = supervisor.options(max_restarts=1_000_000_000, max_seconds=1)

    async def tree(_self: Any, _argument: Any) -> Any:
        return [supervisor.child_spec(id="crasher", module=crasher)], options

    begin = time.perf_counter()
    await supervisor.start_link(_module("Tree", SUPERVISOR, init=tree))
    for _ in range(count):
        crashing = await started.get()
        for _ in range(WATCHED_AFTER):
            await asyncio.sleep(0)
        await process.send(crashing, "crash")
    await started.get()
    return time.perf_counter() - begin


_ChildSpec: Any = dynamic_supervisor.child_spec


def _run(feat: Callable[[int], Awaitable[float]]) -> Callable[[int], float]:
    """`feat` in a process of a runtime of its own."""

    async def run(count: int) -> float:
        backend = asyncio_backend.AsyncIOBackend()
        await backend.initialize()
        registry.set_runtime(backend)
        taken: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def main() -> None:
            try:
                taken.set_result(await feat(count))
            except Exception as error:  # noqa: BLE001 - boundary: the task is otpylib's, the error ours
                taken.set_exception(error)

        await process.spawn(main)
        try:
            return await asyncio.wait_for(taken, PATIENCE)
        finally:
            await backend.shutdown()
            registry.reset_runtime()

    def in_a_loop(count: int) -> float:
        loguru.logger.remove()
        return asyncio.run(run(count))

    return in_a_loop


FEATS: dict[str, Callable[[int], float]] = {
    "tell": _run(tell),
    "ask": _run(ask),
    "ring": _run(ring),
    "start-child": _run(start_child),
    "crash-cycle": _run(crash_cycle),
}
