"""A supervisor's calls, typed: what `runtime.supervisor(path)` returns."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, cast, final

from treewarden.actors import (
    ActorPath,
    ActorRef,
    Address,
    ChildId,
    ChildSpec,
    ChildType,
    Generation,
    Intensity,
    child_path,
)
from treewarden.supervision_trees._children import Child
from treewarden.supervision_trees._effects import Change, DeleteChild, RestartChild, StartChild, TerminateChild
from treewarden.supervision_trees._errors import NotFound
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy, SupervisorSettings
from treewarden.supervision_trees._supervisor import ChildRow, Description
from treewarden.supervision_trees._views import describe_supervisor

__all__ = ["ChildCounts", "SupervisorHandle"]

STATE_DEADLINE: Final = 5.0


@final
@dataclass(frozen=True, slots=True)
class ChildCounts:
    """How many children a supervisor has: known, up (running or stopping), and of either type (OTP's count_children)."""

    specs: int
    active: int
    supervisors: int
    workers: int


@final
class SupervisorHandle:
    """Calls to the supervisor at one path, whichever incarnation lives there. Safe from any thread.

    A child is named by its id or by a ref. The ref of an ended incarnation still means the child
    while that is being restarted, and nobody once a newer incarnation has run or the supervisor
    itself was restarted (Elixir's rule: a pid is never taken for another child).

    `timeout` bounds the wait for an answer (None: as long as it takes, as in OTP); the call itself
    goes on. All calls raise `ActorDead` if no supervisor runs there, and `TypeError` if what names the
    child is neither; nothing was asked then.
    """

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def path(self) -> ActorPath:
        """Where the supervisor lives."""
        return self._address.path

    def start_child(self, spec: ChildSpec, *, timeout: float | None = None) -> ActorRef[Any] | None:
        """Add `spec` at the end and start it; its ref, or None if it declined (a dynamic supervisor keeps nothing of it).

        Raises:
            AlreadyStarted, AlreadyPresent: a child of that id runs, or is known.
            InvalidChildSpec, InvalidSupervisor: it does not go with the supervisor's settings, or its
                needs name nobody; nothing changed.
            TooManyChildren: a dynamic supervisor has as many as it may.
            NotApplicable: this kind of supervisor takes no children by hand.
            StartFailed: it did not start and is not added (kept, stopped, if another caller's
                `terminate_child` was the reason).
        """
        return self._call(StartChild(spec), timeout)

    def terminate_child(self, child: "str | ActorRef[Any]", *, timeout: float | None = None) -> None:
        """Stop `child` and keep its spec; fine if it is stopped already. It is not restarted, a pending retry is cancelled.

        A temporary child is forgotten, and every child of a dynamic supervisor is.

        Raises:
            NotFound: there is no such child.
        """
        self._call(TerminateChild(*self._locate(child)), timeout)

    def restart_child(self, child: "str | ActorRef[Any]", *, timeout: float | None = None) -> ActorRef[Any] | None:
        """Start `child`, which is stopped or failed; its ref, or None if it declined.

        Raises:
            NotFound, StillRunning, StillRestarting: it is not there, or not at rest.
            StartFailed: it did not start and stays stopped.
        """
        return self._call(RestartChild(*self._locate(child)), timeout)

    def delete_child(self, child: "str | ActorRef[Any]", *, timeout: float | None = None) -> None:
        """Forget `child`, which is stopped or failed.

        Raises:
            NotFound, StillRunning, StillRestarting: it is not there, or not at rest.
            NotApplicable: this kind of supervisor keeps nothing to delete.
        """
        self._call(DeleteChild(*self._locate(child)), timeout)

    def change(
        self,
        *,
        strategy: Strategy | None = None,
        intensity: Intensity | None = None,
        auto_shutdown: AutoShutdown | None = None,
        children: Iterable[ChildSpec] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Have the supervisor go by other settings and specs, all or nothing (OTP's code_change, B 1.10).

        What is left out stays as it is. `children` are all that are wanted, in start order: a known
        one gets its new spec without being restarted, a new one is added stopped, one that is
        missing runs on, behind the others. What was spent of the intensity stays spent.

        Raises:
            InvalidSupervisor, InvalidChildSpec: the new whole could not be started like this; nothing changed.
            NotApplicable: not for this kind of supervisor; nothing changed.
        """
        wanted = None if children is None else tuple(children)
        self._call(Change(strategy, intensity, auto_shutdown, wanted), timeout)

    def which_children(self, *, timeout: float = STATE_DEADLINE) -> tuple[Child, ...]:
        """The children in start order."""
        return tuple(row.child for row in self.rows(timeout=timeout))

    def rows(self, *, timeout: float = STATE_DEADLINE) -> tuple[ChildRow, ...]:
        """The children in start order, with the refs of those that live."""
        return self._describe(timeout).rows

    def settings(self, *, timeout: float = STATE_DEADLINE) -> SupervisorSettings:
        """Strategy, intensity and auto_shutdown, as they are now."""
        return self._describe(timeout).settings

    def count_children(self, *, timeout: float = STATE_DEADLINE) -> ChildCounts:
        """How many children there are."""
        children = self.which_children(timeout=timeout)
        supervisors = sum(child.spec.actor_class.child_type is ChildType.SUPERVISOR for child in children)
        # One in its start is not active yet, be it its first (starting) or a later one (restarting; B 1.7).
        active = sum(child.live and child.started for child in children)
        return ChildCounts(len(children), active, supervisors, len(children) - supervisors)

    def which_child(self, child: "str | ActorRef[Any]", *, timeout: float = STATE_DEADLINE) -> Child:
        """One child as its supervisor knows it.

        Raises:
            NotFound: there is no such child.
        """
        wanted, generation = self._locate(child)
        for row in describe_supervisor(self._address.require(), timeout=timeout, child=wanted).rows:
            if row.child.is_addressed_by(generation):
                return row.child
        known = tuple(each.id for each in self.which_children(timeout=timeout))
        raise NotFound(child_path(self.path, wanted), known, generation)

    def get_child_spec(self, child: "str | ActorRef[Any]", *, timeout: float = STATE_DEADLINE) -> ChildSpec:
        """The spec of `child`.

        Raises:
            NotFound: there is no such child.
        """
        return self.which_child(child, timeout=timeout).spec

    def _describe(self, timeout: float) -> Description:
        return describe_supervisor(self._address.require(), timeout=timeout)

    def _locate(self, child: "str | ActorRef[Any]") -> tuple[ChildId, Generation | None]:
        """What names `child` in a call: its id, and of a ref the generation, for the supervisor to compare."""
        if isinstance(child, str):
            return ChildId(child), None
        if not isinstance(child, ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance] - a caller may give anything
            raise TypeError(f"found {child!r} for a child of {self.path}, expected its id (a str) or a ref of it")
        parent, _, name = child.path.rpartition("/")
        # Generations begin anew with each incarnation of the supervisor, spawn numbers never. (One that is
        # restarted between this look and the call is not seen here.)
        if parent != self.path or child.spawn_number < self._address.require().spawn_number:
            raise NotFound(child.path, tuple(each.id for each in self.which_children()), child.generation)
        return ChildId(name), child.generation

    def _call(self, call: object, timeout: float | None) -> ActorRef[Any] | None:
        return cast("ActorRef[Any] | None", self._address.ask(call, timeout=timeout))
