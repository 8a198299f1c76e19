"""A supervisor's calls, typed: what `runtime.supervisor(path)` returns."""

from typing import Any, Final, cast, final

from treewarden.actors import ActorPath, ActorRef, Address, ChildId, ChildSpec
from treewarden.supervision_trees._children import Child
from treewarden.supervision_trees._effects import DeleteChild, RestartChild, StartChild, TerminateChild
from treewarden.supervision_trees._supervisor import ChildRow
from treewarden.supervision_trees._views import describe_supervisor

__all__ = ["SupervisorHandle"]

STATE_DEADLINE: Final = 5.0


@final
class SupervisorHandle:
    """Calls to the supervisor at one path, whichever incarnation lives there. Safe from any thread.

    `timeout` bounds the wait for an answer (None: as long as it takes, as in OTP); the call itself
    goes on. All calls raise `ActorDead` if no supervisor runs there.
    """

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def path(self) -> ActorPath:
        """Where the supervisor lives."""
        return self._address.path

    def start_child(self, spec: ChildSpec, *, timeout: float | None = None) -> ActorRef[Any] | None:
        """Add `spec` at the end and start it; its ref, or None if it declined.

        Raises:
            AlreadyStarted, AlreadyPresent: a child of that id runs, or is known.
            StartFailed: it did not start and is not added (kept, stopped, if another caller's
                `terminate_child` was the reason).
        """
        return self._call(StartChild(spec), timeout)

    def terminate_child(self, child: str, *, timeout: float | None = None) -> None:
        """Stop `child` and keep its spec (a temporary one is forgotten); fine if it is stopped already.

        Raises:
            NotFound: there is no such child.
        """
        self._call(TerminateChild(ChildId(child)), timeout)

    def restart_child(self, child: str, *, timeout: float | None = None) -> ActorRef[Any] | None:
        """Start `child`, which is stopped or failed; its ref, or None if it declined.

        Raises:
            NotFound, StillRunning, StillRestarting: it is not there, or not at rest.
            StartFailed: it did not start and stays stopped.
        """
        return self._call(RestartChild(ChildId(child)), timeout)

    def delete_child(self, child: str, *, timeout: float | None = None) -> None:
        """Forget `child`, which is stopped or failed.

        Raises:
            NotFound, StillRunning, StillRestarting: it is not there, or not at rest.
        """
        self._call(DeleteChild(ChildId(child)), timeout)

    def which_children(self, *, timeout: float = STATE_DEADLINE) -> tuple[Child, ...]:
        """The children in start order."""
        return tuple(row.child for row in self.rows(timeout=timeout))

    def rows(self, *, timeout: float = STATE_DEADLINE) -> tuple[ChildRow, ...]:
        """The children in start order, with the refs of those that live."""
        return describe_supervisor(self._address.require(), timeout=timeout).rows

    def _call(self, call: object, timeout: float | None) -> ActorRef[Any] | None:
        return cast("ActorRef[Any] | None", self._address.ask(call, timeout=timeout))
