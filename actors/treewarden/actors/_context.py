"""What an actor may do besides answering: its `self.context`.

Every call that acts on the world is refused with `Fenced` once the incarnation was given up on,
so a zombie thread cannot disturb its successor (supervision.md A.15).
"""

from typing import TYPE_CHECKING, Any, TypeVar, final

from treewarden.actors._checkpoint_requests import CheckpointRequests
from treewarden.actors._clock import Clock
from treewarden.actors._durable import persist, record
from treewarden.actors._exits import ExitReason, Normal
from treewarden.actors._ids import ActorPath, Generation, parse_path
from treewarden.actors._incarnation import Incarnation
from treewarden.actors._life import running_incarnation
from treewarden.actors._links import Monitor, demonitor, link, monitor, trap, unlink
from treewarden.actors._names import Names
from treewarden.actors._ref import ActorRef, Address
from treewarden.actors._reply import Reply
from treewarden.actors._system import ActorSystem, Log
from treewarden.actors._timers import Timer
from treewarden.storage import Trigger

if TYPE_CHECKING:
    from treewarden.actors._child_spec import ChildSpec

__all__ = ["Context"]

S = TypeVar("S")


@final
class Context:
    """One incarnation's view of its runtime. Use it only from the actor's own code, unless said otherwise."""

    __slots__ = ("_incarnation",)

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation

    @property
    def path(self) -> ActorPath:
        """Where this actor lives, e.g. `/dev/api`."""
        return self._incarnation.path

    @property
    def parent(self) -> ActorPath | None:
        """The supervisor's path; None for a root."""
        return self._incarnation.parent

    @property
    def generation(self) -> Generation:
        """Which incarnation this is: it grows with each start under one incarnation of the supervisor."""
        return self._incarnation.generation

    @property
    def spec(self) -> "ChildSpec":
        """How this actor asked to be treated."""
        return self._incarnation.spec

    @property
    def clock(self) -> Clock:
        """Time, in float seconds."""
        return self._incarnation.system.clock

    @property
    def log(self) -> Log:
        """This actor's log; every line carries its path."""
        return self._incarnation.system.log(self._incarnation.path)

    @property
    def system(self) -> ActorSystem:
        """The runtime's ports, for actors that build on the framework. Its values are thread-safe."""
        return self._incarnation.system

    def service(self, kind: type[S]) -> S:
        """The runtime's service of type `kind`; `ServiceMissing` if it has none."""
        return self._incarnation.system.service(kind)

    def address(self, path: str) -> Address:
        """The address of another actor of this runtime."""
        return Address.of(path, self._incarnation.system)

    def send_after(self, delay: float, message: object) -> Timer:
        """Tell this actor `message` in `delay` seconds; cancelled when this incarnation ends.

        Raises:
            ValueError: if `delay` is NaN.
        """
        self.ensure_current()
        return _Delayed(self._incarnation, delay, message)

    def send_every(self, period: float, message: object) -> Timer:
        """Tell this actor `message` every `period` seconds, first after one period.

        The next one is set when one was delivered, so a timer that was late does not send a burst.
        What was delivered before a `cancel` is still handled.

        Raises:
            ValueError: if `period` is not above 0.
        """
        self.ensure_current()
        if not period > 0:
            raise ValueError(f"send_every({period!r}): expected a period in seconds, above 0")
        return _Repeating(self._incarnation, period, message)

    def request_checkpoint(self, trigger: Trigger = Trigger.ITERATION, *, path: str | None = None) -> None:
        """Have a checkpoint of the subtree at `path`, or of this actor and all below it, taken soon; nobody waits for it.

        It is taken after the message in hand. Of several requests that wait for the same subtree one is
        carried out. Nothing where the runtime takes no checkpoints.

        Raises:
            ValueError: `path` is none.
        """
        self.ensure_current()
        requests = self._incarnation.system.find_service(CheckpointRequests)
        if requests is not None:
            requests.take_up(self._incarnation.path if path is None else parse_path(path), trigger)

    def monitor(self, target: ActorRef[Any] | Address) -> Monitor:
        """Have this actor told one `Down` when `target` has ended, at once if it has already.

        The `Down` is an ordinary message: what `target` sent before comes first. Each call is a
        monitor of its own. An address is resolved now; if nobody lives there the reason is `Gone()`.
        """
        self.ensure_current()
        return monitor(self._incarnation, *_resolved(target))

    def demonitor(self, monitor: Monitor) -> None:
        """Drop `monitor`; no `Down` of it is handled from now on, not even one in the mailbox.

        Raises:
            ValueError: if another actor set it.
        """
        demonitor(self._incarnation, monitor)

    def link(self, target: ActorRef[Any] | Address) -> None:
        """Bind this actor and `target`: an abnormal end of one ends the other with the same reason.

        `on_stop` runs as ever. One that traps exits is told an `ExitSignal` instead, whatever the
        reason; a supervisor ends of no link. A target that has ended sends its signal at once, one
        that nobody resolves with `Gone()`. Linking twice, or to oneself, changes nothing.
        """
        self.ensure_current()
        link(self._incarnation, *_resolved(target))

    def unlink(self, target: ActorRef[Any] | Address) -> None:
        """Undo a link on both sides; the end of one that was declared before stands."""
        _, other = _resolved(target)
        if other is not None:
            unlink(self._incarnation, other)

    def trap_exits(self) -> None:
        """From now on exits of linked actors, normal ones too, come as `ExitSignal` messages and end nothing."""
        self.ensure_current()
        trap(self._incarnation)

    @property
    def names(self) -> Names:
        """The registered names of this runtime, to look up. Safe from any thread."""
        return self._incarnation.system.names

    def register(self, name: str, value: object = None) -> None:
        """Take `name` for this incarnation, until it ends; `value` is shown beside it.

        It resolves as soon as the supervisor reports this actor running, so it may be taken in
        `__init__` or `on_start`.

        Raises:
            AlreadyRegistered: a living actor holds it, perhaps this one.
        """
        self.ensure_current()
        self.names.register(self._incarnation, name, value)

    def unregister(self, name: str) -> None:
        """Give `name` up; one that this actor does not hold stays as it is."""
        self.names.unregister(self._incarnation, name)

    def join(self, topic: str, value: object = None) -> None:
        """Be found under `topic`, with any number of others, until this incarnation ends; again, to change `value`."""
        self.ensure_current()
        self.names.join(self._incarnation, topic, value)

    def leave(self, topic: str) -> None:
        """Be found under `topic` no longer."""
        self.names.leave(self._incarnation, topic)

    def tell_self(self, message: object) -> None:
        """Put `message` in this actor's own mailbox; dropped once it ended. Safe from any thread."""
        self._incarnation.tell_if_alive(message)

    def exit(self, reason: ExitReason | None = None) -> None:
        """End this actor with `reason` (`Normal()` if none) after the message in hand."""
        self._incarnation.request_exit(Normal() if reason is None else reason)

    def take_reply(self) -> Reply[Any]:
        """Answer the message in hand later, from anywhere, by setting the reply this returns.

        What the handler returns is then not used. The asker hears `ActorDead` if this actor ends
        first (gen_server's `{noreply, State}` with a later `reply/2`).
        """
        return self._incarnation.take_reply()

    def persist(self) -> None:
        """Write `self.snapshot()`; return once it is durable: it then survives kill -9 of the runtime.

        Call it from the actor's own code, from `on_start` on. It blocks as long as the store does.

        Raises:
            Fenced: this incarnation was given up on; nothing was written, and the try is counted.
            OperationRefused: `snapshot()` returned what cannot be stored; says what.
            CommitFailed: the medium refused (a full disk): nothing was written, what was stays, and
                you may go on, and try again.
        """
        if running_incarnation() is not self._incarnation:
            raise RuntimeError(f"persist() of {self.path} was called from outside; tell it a message that persists")
        persist(self._incarnation)

    def record(self, entry: object) -> None:
        """In a handler or `on_start`: have `entry`, a plain value as in `snapshot()`, written after this turn.

        For an actor with `durability = Durability.JOURNAL`. The next incarnation replays it. What this
        turn sends and answers leaves once the entry is durable; if the turn crashes it is not written.

        Raises:
            Fenced: this incarnation was given up on, and the try is counted.
            OperationRefused: `entry` cannot be stored; says why.
        """
        if running_incarnation() is not self._incarnation:
            raise RuntimeError(f"record() of {self.path} was called from outside; tell it a message that records")
        record(self._incarnation, entry)

    def publish(self, status: object) -> None:
        """Show `status`, a frozen value, to everyone who holds a ref to this actor (`ref.status`)."""
        self.ensure_current()
        self._incarnation.published = status

    def defer_started(self) -> None:
        """In `on_start`: this actor has not started when `on_start` returns, but at `announce_started`."""
        self._incarnation.defer_started()

    def announce_started(self) -> None:
        """The deferred start is complete."""
        self._incarnation.announce_started()

    def defer_ready(self) -> None:
        """In `on_start`: siblings that need this actor wait on until `announce_ready`."""
        self._incarnation.defer_ready()

    def announce_ready(self) -> None:
        """Siblings that need this actor may start. Only the first call counts."""
        self._incarnation.announce_ready()

    def ensure_current(self) -> None:
        """Raise `Fenced` if this incarnation was given up on. Safe from any thread."""
        if self._incarnation.is_fenced():
            self._incarnation.refuse(self)

    def incarnation(self) -> Incarnation:
        """The machinery itself, for supervisors."""
        return self._incarnation


def _resolved(target: ActorRef[Any] | Address) -> tuple[ActorRef[Any] | Address, Incarnation | None]:
    """Who is meant: the incarnation, as a ref and itself, or an address that reaches nobody."""
    ref = target.resolve() if isinstance(target, Address) else target
    return (target, None) if ref is None else (ref, ref.incarnation())


@final
class _Delayed:
    """A message on its way to its own actor: the callback of its timer, and the handle to it."""

    __slots__ = ("_due", "_incarnation", "_message", "_timer")

    def __init__(self, incarnation: Incarnation, delay: float, message: object) -> None:
        self._incarnation: Incarnation | None = incarnation  # None once it is over
        self._message = message
        # None once it has gone off, before its message is in the mailbox; the rest is let go of after that.
        self._due: float | None = incarnation.system.clock.monotonic() + delay
        self._timer = incarnation.system.timers.after(delay, self)
        incarnation.keep_timer(self)

    def __call__(self) -> None:
        incarnation, self._due = self._incarnation, None
        try:
            if incarnation is not None:
                incarnation.tell_if_alive(self._message)
        finally:
            self._let_go()

    def is_pending(self) -> bool:
        return self._due is not None

    def is_on_its_way(self) -> bool:
        return self._due is None and self._incarnation is not None

    def message_once(self) -> tuple[float, object] | None:
        message = self._message  # before the look: whoever lets go does so in the other order
        due = self._due
        return None if due is None else (due, message)

    def cancel(self) -> bool:
        taken = self._timer.cancel()
        if taken:
            self._let_go()
        return taken

    def _let_go(self) -> None:
        # The actor may keep this handle, and it must keep nothing. In this order: see the looks above.
        self._incarnation = self._due = self._message = None


@final
class _Repeating:
    """A timer that sets itself again; cancelling it cancels the one that is pending."""

    __slots__ = ("_cancelled", "_incarnation", "_message", "_period", "_timer")

    def __init__(self, incarnation: Incarnation, period: float, message: object) -> None:
        self._incarnation, self._period, self._message = incarnation, period, message
        self._cancelled = False
        self._timer = self._set()
        incarnation.keep_timer(self)

    def __call__(self) -> None:
        # A thread that was given up on cancels nothing, so the end itself ends the series.
        if self._cancelled or self._incarnation.has_ended():
            return
        self._timer = self._set()
        if self.is_pending():
            self._incarnation.tell_if_alive(self._message)
        else:  # since a moment ago, so it was the one before that the canceller met
            self._timer.cancel()

    def is_pending(self) -> bool:
        return not self._cancelled

    def is_on_its_way(self) -> bool:
        return False  # nobody asks after its message

    def message_once(self) -> tuple[float, object] | None:
        return None

    def cancel(self) -> bool:
        was_pending = not self._cancelled
        self._cancelled = True
        self._timer.cancel()
        return was_pending

    def _set(self) -> Timer:
        return self._incarnation.system.timers.after(self._period, self)
