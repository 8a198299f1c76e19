"""Actors without a supervisor, as pykka starts them: `YourActor.start()`.

They live in one system of the process, made by the first of them and never at import. Their paths are
`/standalone/Counter-1`, numbered as they are started. Nobody restarts one: a crash is its end, and is
logged as pykka logs it. Its threads are daemons, so a program does not stay up for them; what still
runs at its exit is stopped, last started first, within `AT_EXIT` seconds in all.

The system's threads end soon after the last of its actors (`LINGER` seconds, so that one started after
another need not make them again), at once when `pykka.ActorRegistry.stop_all()` was that end, and at
exit. A start after that makes new ones; so does one in a forked child, where the parent's threads do
not exist.
"""

import atexit
import contextlib
import itertools
import os
import random
import threading
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast, final

import pykka

from treewarden.actors._child_spec import ChildSpec, Restart
from treewarden.actors._clock import SystemClock
from treewarden.actors._dispatcher import report_unhandled, worker_waits
from treewarden.actors._errors import ActorCrashed
from treewarden.actors._exits import Crashed, ExitReason, Shutdown
from treewarden.actors._ids import ActorPath, ChildId, Generation, child_path, is_child_id
from treewarden.actors._messages import ChildNotice, Declined, Exited
from treewarden.actors._pykka_registry import ListedTree, join_pykka_registry
from treewarden.actors._ref import ActorRef
from treewarden.actors._standalone_log import LoggedEvents, PykkaLog, log_crash
from treewarden.actors._system import ActorSystem
from treewarden.actors._timers import TimerThread
from treewarden.actors._workers import ThreadDispatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from treewarden.actors._actor import Actor

__all__ = ["start_standalone"]

A = TypeVar("A", bound="Actor")

ABOVE: Final = ActorPath("/standalone")
FIRST: Final = Generation(1)  # and the only one
LINGER: Final = 2.0  # seconds
AT_EXIT: Final = 5.0  # seconds for all of them to stop when the interpreter leaves

_numbers: Final = itertools.count(1)


class Spawn(Protocol):
    """`_actor.spawn`, which is above this module."""

    def __call__(
        self,
        system: ActorSystem,
        spec: ChildSpec,
        *,
        path: ActorPath,
        parent: ActorPath | None,
        generation: Generation,
        notify: "Callable[[ChildNotice], None] | None",
        made: "Callable[[ActorRef[Any]], None] | None",
    ) -> ActorRef[Any]:
        """Start one incarnation; `made` hears of it between `__init__` and `on_start`."""
        ...


def start_standalone(
    spawn: Spawn, actor_class: type[A], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> ActorRef[A]:
    """Start an actor that nobody supervises; return when its `__init__` has. `on_start` runs meanwhile.

    Raises:
        Exception: what `__init__` raised; then nothing was started.
        ActorCrashed: `__init__` raised what is no `Exception`.
        Fenced: in an actor that was given up on.
    """
    number = next(_numbers)
    name = f"{actor_class.__name__}-{number}"
    child = ChildId(name if is_child_id(name) else f"actor-{number}")  # a class may be named in any script
    spec = ChildSpec(child, actor_class, args, kwargs, restart=Restart.TEMPORARY)
    start = _Start(child_path(ABOVE, child))
    system = _process.enter(start)
    try:
        ref = spawn(
            system, spec, path=start.path, parent=None, generation=FIRST, notify=start.take_notice, made=start.made
        )
    except BaseException:
        _process.left(start)
        raise
    start.wait_made()
    return cast("ActorRef[A]", ref)


@final
class _Start:
    """One standalone actor, from its start to its end."""

    def __init__(self, path: ActorPath) -> None:
        self.path: Final = path
        self.home: _Home  # set when it enters one
        self._ref: ActorRef[Any] | None = None
        self._settled = threading.Event()
        self._end: ExitReason | None = None

    def made(self, ref: ActorRef[Any]) -> None:
        """`__init__` has returned: from now on it can be found, in `on_start` too."""
        self._ref = ref
        self.home.register(self.path, ref)
        if not ref.is_alive():  # it was killed in its `__init__`, and its end was told before
            self.home.unregister(self.path, ref)
        self._settled.set()

    def take_notice(self, notice: ChildNotice) -> None:
        """Note its end."""
        if not isinstance(notice, Exited | Declined):
            return
        ref = self._ref
        if ref is not None:
            self.home.unregister(self.path, ref)
        if isinstance(notice, Exited):
            self._end = notice.reason
            if ref is not None and isinstance(notice.reason, Crashed):  # otherwise `start` raises it
                log_crash(ref, notice.reason)
        _process.left(self)
        self._settled.set()

    def is_ending(self) -> bool:
        """Whether its end was declared."""
        return self._ref is not None and not self._ref.is_alive()

    def wait_made(self) -> None:
        """Wait for `__init__`, and raise what it raised."""
        with worker_waits():
            self._settled.wait()
        if self._ref is None and isinstance(self._end, Crashed):
            error = self._end.error
            if not isinstance(error, Exception):
                raise ActorCrashed(self._end)
            error.add_note(f"Raised in the __init__ of {self.path}:\n{self._end.traceback}")
            raise error


@final
class _Home:
    """The system of the standalone actors, and their directory. Safe from any thread; looking up takes no lock."""

    def __init__(self) -> None:
        clock = SystemClock()
        self._refs: dict[ActorPath, ActorRef[Any]] = {}
        self._writing = threading.Lock()  # guards the writes to _refs
        self._dispatcher = ThreadDispatcher(name="treewarden-standalone")
        self._timers = TimerThread(clock, on_error=report_unhandled)
        # `_process` guards these two: who has not ended, and whether a look at that is due.
        self.living: set[_Start] = set()
        self.lingers = False
        self.system: Final = ActorSystem(
            clock=clock,
            dispatcher=self._dispatcher,
            timers=self._timers,
            events=LoggedEvents(),
            directory=self,
            log=PykkaLog,
            random=random.Random(),  # noqa: S311 - spreads restarts below a standalone supervisor, keeps no secret
        )
        self._withdraw = join_pykka_registry(self.trees, all_stopped=_process.all_stopped)

    def lookup(self, path: ActorPath) -> ActorRef[Any] | None:
        """The running actor at `path`."""
        ref = self._refs.get(path)
        return ref if ref is not None and ref.is_alive() else None

    def register(self, path: ActorPath, ref: ActorRef[Any]) -> None:
        """`ref` lives at `path` now."""
        with self._writing:
            self._refs[path] = ref

    def unregister(self, path: ActorPath, ref: ActorRef[Any]) -> None:
        """`ref` no longer does; a newer one at `path` stays."""
        with self._writing:
            if self._refs.get(path) is ref:
                del self._refs[path]

    def trees(self) -> list[ListedTree]:
        """Each actor that was started here, with all below it if it is a supervisor."""
        members: dict[str, list[ActorRef[Any]]] = {}
        for ref in tuple(self._refs.values()):
            if ref.is_alive():
                members.setdefault(_root_of(ref.path), []).append(ref)
        return [ListedTree(tuple(refs), partial(_request_stop, refs)) for refs in members.values()]

    def stop_all(self, *, within: float) -> None:
        """Stop what runs, the last started first; what has not ended `within` seconds is left to itself."""
        deadline = self.system.clock.monotonic() + within
        roots = [ref for ref in tuple(self._refs.values()) if _root_of(ref.path) == ref.path]
        for ref in sorted(roots, key=lambda ref: ref.spawn_number, reverse=True):
            ref.request_stop(Shutdown("exit"))
            with contextlib.suppress(pykka.Timeout):
                ref.wait_stopped(timeout=max(deadline - self.system.clock.monotonic(), 0.0))
        self.close(within=max(deadline - self.system.clock.monotonic(), 0.0))

    def close(self, *, within: float) -> None:
        """End the threads; one that is stuck in somebody's handler is left behind."""
        self._withdraw()
        self._timers.close()
        self._dispatcher.close(within=within)


@final
class _Process:
    """The one home of this process, while there is one."""

    def __init__(self) -> None:
        # Guards _home and what it says there; told of each end. Never held while an actor's code runs.
        self._lock = threading.Condition()
        self._home: _Home | None = None
        self._is_watched = False  # whether exit and fork are seen to

    def enter(self, start: _Start) -> ActorSystem:
        """Count `start` among the living of a home that stays open for it."""
        with self._lock:
            if self._home is None:
                self._home = _Home()
                self._watch()
            start.home = self._home
            start.home.living.add(start)
            return start.home.system

    def left(self, start: _Start) -> None:
        """`start` has come to its end."""
        with self._lock:
            home = start.home
            home.living.discard(start)
            self._lock.notify_all()
            if not home.living and not home.lingers:
                home.lingers = True
                home.system.timers.after(LINGER, self.close_if_idle)

    def all_stopped(self) -> None:
        """`stop_all` has stopped whom it found: end the home, unless somebody has moved in since."""
        with self._lock:
            home = self._home
            if home is not None:  # one that is dead may have a line to write yet, of its crash
                self._lock.wait_for(lambda: not any(start.is_ending() for start in home.living), timeout=AT_EXIT)
        self.close_if_idle()

    def close_if_idle(self) -> None:
        """End the home unless somebody lives there."""
        with self._lock:
            home = self._home
            if home is None:
                return
            home.lingers = False
            if home.living:
                return
            self._home = None
        home.close(within=AT_EXIT)

    def leave(self) -> None:
        """The interpreter exits: stop them all."""
        with self._lock:
            home, self._home = self._home, None
        if home is not None:
            home.stop_all(within=AT_EXIT)

    def forget(self) -> None:
        """This is a forked child: the threads of that home are the parent's."""
        self._lock = threading.Condition()  # whoever held it does not exist here
        self._home = None

    def _watch(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            atexit.register(self.leave)
            os.register_at_fork(after_in_child=self.forget)


_process: Final = _Process()


def _root_of(path: ActorPath) -> str:
    return "/".join(path.split("/", 3)[:3])


def _request_stop(members: "list[ActorRef[Any]]") -> None:
    # As pykka stops an actor: after the messages that are in its mailbox now. If the root itself is not
    # among them, it has just ended, and takes the others along.
    for ref in members:
        if _root_of(ref.path) == ref.path:
            ref.stop(block=False)
