"""xoscar: actors of asyncio in one pool, all of them in the asker's own process."""

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

# Untyped, and not there unless the extra `bench` is.
xoscar = importlib.import_module("xoscar")

MEMBERS = 1_000  # of the ring
PATIENCE = 60.0

Base: Any = xoscar.Actor


class Sink(Base):
    """Counts down."""

    def __init__(self, count: int, done: asyncio.Event) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - the base is untyped
        self.left, self.done = count, done

    async def take(self, _message: object) -> None:
        """Count one."""
        self.left -= 1
        if not self.left:
            self.done.set()


class Echo(Base):
    """Answers with what it was asked."""

    async def echo(self, message: object) -> object:
        """Answer."""
        return message


class Member(Base):
    """Passes a number on, one less each time."""

    def __init__(self, done: asyncio.Event) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - the base is untyped
        self.done = done
        self.following: Any = None

    async def follow(self, following: Any) -> None:
        """Know the next one."""
        self.following = following

    async def take(self, left: int) -> None:
        """Pass on."""
        if left:
            await self.following.take.tell(left - 1)
        else:
            self.done.set()


async def tell(address: str, count: int) -> float:
    """Seconds of `count` tells, the last of them handled."""
    done = asyncio.Event()
    sink = await xoscar.create_actor(Sink, count, done, address=address)
    begin = time.perf_counter()
    for _ in range(count):
        await sink.take.tell(None)
    await done.wait()
    return time.perf_counter() - begin


async def ask(address: str, count: int) -> float:
    """Seconds of `count` asks by one task."""
    echo = await xoscar.create_actor(Echo, address=address)
    begin = time.perf_counter()
    for _ in range(count):
        await echo.echo(None)
    return time.perf_counter() - begin


async def ring(address: str, hops: int) -> float:
    """Seconds of `hops` by one message in a ring of 1,000."""
    done = asyncio.Event()
    members = [await xoscar.create_actor(Member, done, address=address) for _ in range(MEMBERS)]
    for member, following in zip(members, (*members[1:], members[0]), strict=True):
        await member.follow(following)
    begin = time.perf_counter()
    await members[0].take.tell(hops)
    await done.wait()
    return time.perf_counter() - begin


async def start_child(address: str, count: int) -> float:
    """Seconds of `count` calls of `create_actor`."""
    begin = time.perf_counter()
    for _ in range(count):
        await xoscar.create_actor(Echo, address=address)
    return time.perf_counter() - begin


def _run(feat: Callable[[str, int], Awaitable[float]]) -> Callable[[int], float]:
    """`feat` in a pool of its own."""

    async def run(count: int) -> float:
        pool = await xoscar.create_actor_pool("127.0.0.1", n_process=0)
        async with pool:
            return await asyncio.wait_for(_taken(feat(pool.external_address, count)), PATIENCE)

    return lambda count: asyncio.run(run(count))


async def _taken(feat: Awaitable[float]) -> float:
    return await feat


FEATS: dict[str, Callable[[int], float]] = {
    "tell": _run(tell),
    "ask": _run(ask),
    "ring": _run(ring),
    "start-child": _run(start_child),
}
