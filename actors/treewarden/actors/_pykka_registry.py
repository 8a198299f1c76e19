"""pykka's `ActorRegistry` answers for our actors too, and none of them pays for it.

pykka keeps one list for the process: an entry for each actor, and a search through all of them when
one ends. Here a whole *system* joins once, with a function that tells who runs there now; its directory
knows that anyway. A start or an end does nothing more, and a look-up costs what it costs in pykka.

Two attributes of pykka's class are replaced when the first system joins, and none at import:
`_actor_refs` by a view that holds the refs of pykka's own actors and asks the systems for the others,
and `stop_all`, since stopping a supervised actor by itself would only have it restarted: a tree is
stopped as one, by its root. A system that was let go of without a word is forgotten with it.

Not promised: that a look-up sees starts and ends of the same moment; it is a look, as pykka's.
"""

import math
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast, final, overload

import pykka

from treewarden.actors._clock import SystemClock
from treewarden.actors._ids import spawn_numbers
from treewarden.actors._life import running_incarnation
from treewarden.actors._ref import ActorRef
from treewarden.actors._reply import Reply

__all__ = ["ListedTree", "join_pykka_registry"]

AnyRef: TypeAlias = pykka.ActorRef[Any]

_registry: Final = pykka.ActorRegistry
_registry_lock: Final = _registry._actor_refs_lock  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - guards the view too


@final
@dataclass(frozen=True, slots=True)
class ListedTree:
    """Running actors that end together: a root, and whoever runs below it.

    `request_stop` orders that end and returns.
    """

    members: tuple[ActorRef[Any], ...]
    request_stop: Callable[[], object]


def join_pykka_registry(
    trees: Callable[[], Iterable[ListedTree]], *, all_stopped: Callable[[], object] | None = None
) -> Callable[[], None]:
    """Have `pykka.ActorRegistry` answer with the actors of `trees()` too. For runtimes; safe from any thread.

    `trees` is called at each look-up, from any thread; it should be quick, and must take no lock under
    which somebody starts or stops a pykka actor. `all_stopped` is called after a `stop_all` that
    waited. Returns the function that takes the system out again; once nobody holds that, it is out.
    """
    listing = _Listing(trees, all_stopped)
    with _registry_lock:
        _refs.install()
        _refs.listings.append(weakref.ref(listing))
    return listing.withdraw


@final
class _Listing:
    """One system in the registry."""

    def __init__(self, trees: Callable[[], Iterable[ListedTree]], all_stopped: Callable[[], object] | None) -> None:
        self.trees: Final = trees
        self.all_stopped: Final = all_stopped

    def withdraw(self) -> None:
        """Be asked no more; idempotent."""
        with _registry_lock:
            _refs.listings[:] = [found for found in _refs.listings if found() not in (None, self)]


@final
class _Refs(Sequence[AnyRef]):
    """What stands in place of pykka's list. Every use of it is under pykka's own lock, as the list's was."""

    def __init__(self) -> None:
        # pykka's own actors, in the order of their start, with a number of the same series as ours have.
        self._stock: dict[AnyRef, int] = {}
        self.listings: Final[list[weakref.ref[_Listing]]] = []
        self._is_installed = False

    def install(self) -> None:
        """Stand where pykka looks, and take over what is there."""
        # Through the class's dictionary, since no checker knows these names for variables.
        attributes = cast("dict[str, Any]", vars(_registry))
        if attributes["_actor_refs"] is not self:
            self._stock = {ref: next(spawn_numbers) for ref in attributes["_actor_refs"]}
            setattr(_registry, "_actor_refs", self)  # noqa: B010
            if not self._is_installed:  # what was put in its place meanwhile stays
                self._is_installed = True
                setattr(_registry, "stop_all", classmethod(_stop_all))  # noqa: B010
                # In a forked child there is no thread that would run, or end, what is listed.
                os.register_at_fork(after_in_child=self.listings.clear)

    def append(self, ref: AnyRef) -> None:
        """Add an actor of pykka's own, started now."""
        self._stock[ref] = next(spawn_numbers)

    def remove(self, ref: AnyRef) -> None:
        """Drop an actor of pykka's own."""
        del self._stock[ref]

    def __contains__(self, ref: object) -> bool:
        return ref in self._stock  # asked only before `remove`

    def __iter__(self) -> Iterator[AnyRef]:
        return iter(self.in_order(self.trees()))

    def __len__(self) -> int:
        return len(self.in_order(self.trees()))

    @overload
    def __getitem__(self, index: int) -> AnyRef: ...
    @overload
    def __getitem__(self, index: slice) -> list[AnyRef]: ...

    def __getitem__(self, index: int | slice) -> AnyRef | list[AnyRef]:
        return self.in_order(self.trees())[index]

    def trees(self) -> list[ListedTree]:
        """What runs now in every system that joined."""
        return [tree for listing in self.living() for tree in listing.trees() if tree.members]

    def living(self) -> list[_Listing]:
        """The systems that joined and are still there."""
        found = [listing() for listing in self.listings]
        return [listing for listing in found if listing is not None]

    def in_order(self, trees: Iterable[ListedTree]) -> list[AnyRef]:
        """Every running actor, in the order of their starts."""
        numbers = self._stock.copy()
        for tree in trees:
            numbers.update((member, member.spawn_number) for member in tree.members)
        return sorted(numbers, key=numbers.__getitem__)


_refs: Final = _Refs()


def _stop_all(
    _: type[pykka.ActorRegistry], *, block: bool = True, timeout: float | None = None
) -> list[bool] | list[pykka.Future[bool]]:
    """Stop all running actors, the last started first; a tree at the turn of its root, as one.

    `block` and `timeout` are as for `ActorRef.stop`; the time is for each actor without a supervisor.

    Raises:
        RuntimeError: an actor would wait for its own end; nothing was stopped.
    """
    with _registry_lock:
        systems, trees = _refs.living(), _refs.trees()
        everyone = _refs.in_order(trees)
    everyone.reverse()
    home = {member: index for index, tree in enumerate(trees) for member in tree.members}
    if block:
        _refuse_own_end(trees)
    first = {home[ref]: ref for ref in everyone if isinstance(ref, ActorRef) and ref in home}  # the oldest stays
    stopped: dict[AnyRef, Any] = {}
    for ref in everyone:
        index = home.get(ref) if isinstance(ref, ActorRef) else None
        if index is None:
            stopped[ref] = ref.stop(block=block, timeout=timeout)
        elif first[index] is ref:
            trees[index].request_stop()
            if block:
                _wait_ended(trees[index].members, timeout)
            # All of them were running when this was called, which is what pykka's True says.
            stopped.update((member, True if block else _ending_of(member)) for member in trees[index].members)
    if block:
        for system in systems:
            if system.all_stopped is not None:
                system.all_stopped()
    return [stopped[ref] for ref in everyone]


def _wait_ended(members: Iterable[ActorRef[Any]], timeout: float | None) -> None:
    clock = SystemClock()
    deadline = math.inf if timeout is None else clock.monotonic() + timeout
    for member in members:
        member.wait_stopped(timeout=max(deadline - clock.monotonic(), 0.0))


def _refuse_own_end(trees: Iterable[ListedTree]) -> None:
    running = running_incarnation()
    if running is not None and any(member.incarnation() is running for tree in trees for member in tree.members):
        raise RuntimeError(f"stop_all() in {running.path} would wait for its own end; use stop_all(block=False)")


def _ending_of(ref: ActorRef[Any]) -> pykka.Future[bool]:
    """What `stop_all(block=False)` gives for one of our actors: True once it has ended."""

    def wait(timeout: float | None) -> bool:
        ref.wait_stopped(timeout=math.inf if timeout is None else timeout)
        return True

    future: Reply[bool] = Reply()
    future.set_get_hook(wait)
    return future
