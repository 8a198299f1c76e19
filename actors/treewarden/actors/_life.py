"""One life of an actor: what there is of it, and who may look.

`Life`, `Lanes`, `Ending` and `Starting` are the layers of one class, `Incarnation`, each made of what
is below it: its state, its messages, its end, its start, and on top its turns. One object is all of
them, since its memory is what an idle actor costs; so every slot is here.

Owned by whoever runs the actor, unless a comment says otherwise; the readers are safe from any thread.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from treewarden.actors._crash import as_crash
from treewarden.actors._dispatcher import DEDICATED
from treewarden.actors._errors import Fenced
from treewarden.actors._events import MessageFenced
from treewarden.actors._exits import Crashed, ExitReason
from treewarden.actors._ids import ActorPath, Generation
from treewarden.actors._mailbox import Room
from treewarden.actors._messages import ChildNotice
from treewarden.actors._post_mortem import NOTHING, LastWords, name_of
from treewarden.actors._reply import Reply
from treewarden.actors._status import Status, may_become
from treewarden.actors._timers import KeptTimer, TimerGroup

if TYPE_CHECKING:
    from treewarden.actors._actor import Actor
    from treewarden.actors._child_spec import ChildSpec
    from treewarden.actors._cut import Hold
    from treewarden.actors._dispatcher import OwnThread
    from treewarden.actors._incarnation import Incarnation
    from treewarden.actors._instruments import Instrument
    from treewarden.actors._keeping import Keeping
    from treewarden.actors._lanes import Lanes
    from treewarden.actors._links import Ties
    from treewarden.actors._snapshots import Claim
    from treewarden.actors._system import ActorSystem

__all__ = ["INLINE_WITHIN", "Ask", "InlineAsk", "Lane", "Life", "making", "running_incarnation", "thread", "watched"]

Lane: TypeAlias = deque[object]


@final
class Ask:
    """A message that somebody waits on."""

    __slots__ = ("message", "reply")

    def __init__(self, message: object, reply: Reply[Any]) -> None:
        self.message, self.reply = message, reply


@final
class InlineAsk:
    """An ask whose answer is being worked out on the asker's own thread."""

    __slots__ = ("asked", "asker", "reply")

    def __init__(self, asker: "Life | None", asked: "Life", reply: Reply[Any]) -> None:
        self.asker, self.asked, self.reply = asker, asked, reply


@final
class _Thread(threading.local):
    """The calling thread, as far as actors are concerned."""

    def __init__(self) -> None:
        self.here = _Here()


@final
class _Here:
    """Whose code runs on one thread. Read and written by that thread alone."""

    __slots__ = ("ahead", "ident", "incarnation", "inline", "is_main")

    def __init__(self) -> None:
        self.ident: Final = threading.get_ident()
        self.is_main: Final = threading.current_thread() is threading.main_thread()
        self.incarnation: Incarnation | None = None  # whose code it is in; `Incarnation` alone writes it
        self.inline: list[InlineAsk] = []  # outermost first
        # What a supervisor that is asked inline sets going, for this thread to run; None where nobody does.
        self.ahead: list[Lanes] | None = None


thread: Final = _Thread()

# Those that are being run and whose sends must be looked at: they are fenced, instrumented, or keep their state and
# what they say until it is written. It is empty nearly always where there are none of the last, and then a send need
# not find out who sends. One for the whole process, as threads are.
watched: Final[list["Life"]] = []


def running_incarnation() -> "Incarnation | None":
    """The incarnation whose code the calling thread is in, if any."""
    return thread.here.incarnation


INLINE_WITHIN: Final = 0.1  # seconds; who takes longer on another's thread is not run there again

_NOBODY: Final = contextlib.nullcontext()
# Guards the making of what an incarnation has only once it is used, and the claim on its end; held for no more than
# that. A signal handler may come here while its own thread is here.
making: Final = threading.RLock()


class Life:
    """The state of one incarnation, and how to look at it."""

    __slots__ = (
        "_attention",
        "_busy",
        "_deferred",
        "_end_is_claimed",
        "_end_is_declared",
        "_end_is_told",
        "_exit_reason",
        "_exit_request",
        "_fenced",
        "_held",
        "_in_hand",
        "_inside",
        "_kill_ordered",
        "_last_words",
        "_made",
        "_make",
        "_message",
        "_notify",
        "_ready_deferred",
        "_started",
        "_stop_ordered",
        "_stopped",
        "_suspended",
        "_system_lane",
        "_timers",
        "_token",
        "_user_lane",
        "_wanted_end",
        "actor",
        "claim",
        "generation",
        "hold",
        "inline",
        "instrument",
        "number",
        "own_thread",
        "parent",
        "path",
        "published",
        "room",
        "spec",
        "status",
        "system",
        "ties",
    )

    def __init__(
        self,
        system: "ActorSystem",
        spec: "ChildSpec",
        number: int,
        *,
        path: ActorPath,
        parent: ActorPath | None,
        generation: Generation,
        notify: Callable[[ChildNotice], None] | None,
    ) -> None:
        self.system, self.spec = system, spec
        self.number = number  # among all incarnations of this process
        self.path, self.parent, self.generation = path, parent, generation
        self.actor: Actor | None = None
        self.status = Status.NEW
        self._stopped: Reply[ExitReason] | None = None  # made when somebody waits for the end
        self._end_is_told = False
        self._end_is_declared = False  # the whole of _declare_end is done
        self.published: object = None
        self.claim: Claim | None = None  # on its stored state, if it is durable
        self.hold: Hold | None = None  # of a cut that is being taken
        self._notify = notify
        self._make: Callable[[], None] | None = None
        self._made = False  # whether __init__ has returned: before that no hook may be called
        # Whether there is more to look at than the mailbox. Whoever gives it something else to look at
        # raises this afterwards; a turn lowers it before it looks. An actor at rest pays one look at it per message.
        self._attention = True
        self._system_lane: Lane | None = None  # made with the first message in it
        self._user_lane: Lane = deque()
        self._token = [True]
        self._end_is_claimed = False  # by whoever declares the end, for good; see _claim_end
        self._exit_reason: ExitReason | None = None
        self._exit_request: ExitReason | None = None
        self._wanted_end: tuple[ExitReason, bool] | None = None  # the first declaration; see _declare_end
        self._fenced = False
        self._busy = False  # whether the actor's own code runs
        self._kill_ordered = False
        self._in_hand: Ask | None = None
        self._deferred: set[Reply[Any]] | None = None
        self._held = False
        self._ready_deferred = False
        self._timers: KeptTimer | None = None  # a `TimerGroup`, once there were several
        self.ties: Ties | None = None  # _links guards it
        self._started = False  # whether it has ever run
        self._stop_ordered = False  # whether it has taken a stop request up
        self._suspended: Lane | None = None  # the system messages that wait for `resume`, in order
        self._message: object = NOTHING  # what the actor handles now
        self._inside: tuple[int, float] | None = None  # the thread that runs this actor, and since when
        self._last_words: LastWords | None = None
        actor_class = spec.actor_class
        self.room = None if actor_class.mailbox is None else Room(actor_class.mailbox, self._user_lane)
        self.inline = actor_class.inline_asks or actor_class.blocks_nowhere
        self.own_thread: OwnThread | None = None  # None: the workers of the dispatcher run it
        if actor_class.dispatcher is DEDICATED:
            self.inline = False
            self.own_thread = system.dispatcher.own_thread(path)
        self.instrument = system.instruments.at(path)  # None, nearly always
        if self.instrument is not None:
            self.instrument.begin(generation)

    # Reading, from any thread

    def urn(self) -> str:
        """What tells this incarnation from every other of this process."""
        return f"{self.path}#{self.generation}.{self.number}"

    def is_fenced(self) -> bool:
        """Whether this incarnation was declared dead while its code may still run."""
        return self._fenced

    def has_ended(self) -> bool:
        """Whether the end was declared."""
        return self._exit_reason is not None

    def exit_reason(self) -> ExitReason | None:
        """How it ended, from the moment the end is declared."""
        return self._exit_reason

    def is_stopped(self) -> bool:
        """Whether the end was declared and what it held was let go of, so that waiters hear of it."""
        return self._end_is_told

    @property
    def stopped(self) -> Reply[ExitReason]:
        """Set with the reason once the end was declared."""
        made: Reply[ExitReason] = Reply()
        with making:
            if self._stopped is None:
                self._stopped = made
                if self._end_is_told:
                    made.try_set(self._exit_reason)
            return self._stopped

    def _tell_end(self, reason: ExitReason) -> None:
        with making:
            self._end_is_told = True
            stopped = self._stopped
        if stopped is not None:
            stopped.try_set(reason)

    def is_suspended(self) -> bool:
        """Whether the mailbox is left alone."""
        return self._suspended is not None

    def has_taken(self, reply: Reply[Any]) -> bool:
        """Whether the actor took `reply` to be set later, by whomever."""
        return self._deferred is not None and reply in self._deferred

    def reply_in_hand(self) -> Reply[Any] | None:
        """The reply to the message in hand, unless nobody waits or it was taken for later."""
        return None if self._in_hand is None else self._in_hand.reply

    def message_in_hand(self) -> str | None:
        """The type of the message that is being handled."""
        return name_of(self._message)

    def inside(self) -> tuple[int, float] | None:
        """The thread that runs this actor now (`threading.get_ident`), and since when (monotonic)."""
        return self._inside

    def blocks_nowhere(self) -> bool:
        """Whether none of its turns waits for anything: a supervisor's of our own."""
        return self.spec.actor_class.blocks_nowhere

    def is_in_own_code(self) -> bool:
        """Whether the code of its class runs."""
        return self._busy

    def is_at_boundary(self) -> bool:
        """Whether it runs and has nothing to do but what is in its mailbox; for whoever has the token."""
        return (
            self.status is Status.RUNNING
            and not self._system_lane
            and not self._kill_ordered
            and self._exit_request is None
            and self._exit_reason is None
        )

    def waiting(self) -> tuple[object, ...]:
        """What is in the mailbox, in order: messages, asks and signals."""
        return tuple(self._user_lane.copy())

    def timers(self) -> tuple[KeptTimer, ...]:
        """The timers it keeps, some of which may be over; for whoever has the token."""
        kept = self._timers
        if kept is None:
            return ()
        return kept.timers() if isinstance(kept, TimerGroup) else (kept,)

    def mailbox(self) -> int:
        """How many messages wait."""
        return len(self._user_lane)

    def waited_on(self, reply: Reply[Any]) -> AbstractContextManager[None]:
        """Entered while the calling thread waits for `reply` of this actor; `AskCycle` if only a deadline could end it."""
        here = thread.here
        asker = here.incarnation
        return _NOBODY if asker is None else asker.system.asks.waiting(asker, self, reply, here.inline)

    # What is different if its state is written by itself; see `_kept`

    def keeping(self) -> "Keeping | None":
        """What is still to be written of it; None if it writes only when it asks for that."""
        return None

    def holds_back(self, target: "Lanes", message: object) -> bool:  # noqa: ARG002 - for the one that does
        """Whether it sends `message`, which its code sends to `target` now, later and by itself."""
        return False

    # What a fenced one may not do

    def check_order(self, order: object) -> None:
        """Raise `Fenced` in a fenced actor that orders this one to end.

        Its own children it may end: a supervisor that was given up on must still take them along.
        """
        sender = running_incarnation()
        if sender is not None and sender.is_fenced() and self.parent != sender.path:
            sender.refuse(order)

    def refuse(self, what: object) -> None:
        """Count an act of a fenced incarnation and raise `Fenced` in it."""
        name = type(what.message if isinstance(what, Ask) else what).__name__
        self.system.events.emit(MessageFenced(self.path, self.generation, name))
        raise Fenced(f"{self.path} generation {self.generation} was given up on; its {name} is refused")

    # Timers, on the actor's own turn

    def keep_timer(self, timer: KeptTimer) -> None:
        """Cancel `timer` when this incarnation ends."""
        kept = self._timers
        if isinstance(kept, TimerGroup):
            kept.add(timer)
        elif kept is None or not kept.is_pending():
            self._timers = timer  # most have one at a time, and pay for no collection
        else:
            self._timers = TimerGroup(kept, timer)

    def _cancel_timers(self) -> None:
        kept, self._timers = self._timers, None
        if kept is not None:
            kept.cancel()

    # Being watched

    def watch_by(self, instrument: "Instrument | None") -> None:
        """From now on `instrument` sees what this actor takes and sends. On its own turn."""
        if self.instrument is None and instrument is not None:
            watched.append(self)  # until this turn ends; the next ones begin with it
        self.instrument = instrument
        self._attention = True

    # Being asked inline

    def judge_inline(self, took: float, what: str) -> None:
        """Have workers run it from now on if `what` took too long for the one whose thread did it."""
        if took > INLINE_WITHIN and not self.blocks_nowhere():
            self.inline = False
            self.system.log(self.path).warning(
                "slow on another's thread; workers run it from now on", seconds=took, message=what
            )

    # For the layers above

    def _open_system_lane(self) -> Lane:
        made: Lane = deque()  # before the look: nothing between it and the next line calls anything
        with making:
            if self._system_lane is None:
                self._system_lane = made
            return self._system_lane

    def _may_enter(self) -> bool:
        """Mark the actor's code as running, unless a kill was ordered first."""
        self._busy = True
        # `kill` leaves its order and then looks at `_busy`; here it is the other way round, so one
        # side sees the other, and no kill waits for code that began after it.
        if self._kill_ordered:
            self._busy = False
        return self._busy

    def _become(self, status: Status) -> None:
        if not may_become(self.status, status):
            raise AssertionError(f"{self.path}: {self.status} cannot become {status}")
        self.status = status

    def _crashed(self, error: BaseException) -> Crashed:
        asked = self._in_hand is not None
        return as_crash(error, where=f"{self.path} (generation {self.generation})" if asked else None)

    def _report_late(self, crash: Crashed) -> None:
        """Show a failure that did not become the exit reason."""
        if not isinstance(crash.error, Fenced):  # that one was counted when it was raised
            self.system.log(self.path).error(
                "failed after its end was decided", error=repr(crash.error), traceback=crash.traceback
            )
