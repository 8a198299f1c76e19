"""The actor base class, and the one place that touches pykka's hooks.

pykka 4.5's `Actor` stays the base, so refs, futures and proxies work as its users know them. What
it leaves open is mended in `_incarnation` and its layers: a failing `on_start` is a failed start, any
unexpected exception ends the actor, `SystemExit` ends only the actor that raised it, a stop overtakes
the mailbox, and every end is declared exactly once, after `on_stop` (supervision.md B 8).
"""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from types import MemberDescriptorType
from typing import Any, ClassVar, Final, Self, TypeVar, cast, final

import pykka
from pykka import messages as pykka_messages

from treewarden.actors._child_spec import ChildSpec, ChildType
from treewarden.actors._context import Context
from treewarden.actors._dispatcher import SHARED, DispatcherKind
from treewarden.actors._durability import Durability
from treewarden.actors._durable import Durable
from treewarden.actors._exits import ExitReason, Normal
from treewarden.actors._ids import ActorPath, Generation, spawn_numbers
from treewarden.actors._incarnation import Incarnation
from treewarden.actors._kept import KeptIncarnation
from treewarden.actors._life import Ask, running_incarnation
from treewarden.actors._mailbox import MailboxBound
from treewarden.actors._messages import ChildNotice, StopReport
from treewarden.actors._outline import outline, put_attributes
from treewarden.actors._pykka_hooks import accept_pykkas_on_stop
from treewarden.actors._ref import ActorRef
from treewarden.actors._reply import Reply
from treewarden.actors._standalone import start_standalone
from treewarden.actors._system import ActorSystem

__all__ = ["Actor", "spawn"]

A = TypeVar("A", bound="Actor")

# What `spawn` puts on the object: the machinery, not its state.
_MACHINERY: Final = frozenset({"_actor_ref", "context"})


class Actor(Durable, pykka.Actor):
    """Something with a state of its own that handles one message at a time.

    Override `__init__`, `on_start`, `on_receive` and `on_stop`; all four run on the actor's own
    turn, never concurrently. `self.context` is there from `__init__` on. An exception that is not
    `Rejected` (in a handler) or `Ignore` (in `on_start`) crashes the actor; its supervisor decides
    what follows. To make its state outlive it, override `snapshot` and `restore` (`__init__` may then
    run twice in one start, so leave effects on the world to `on_start`).

    Example:
        class Counter(Actor):
            def __init__(self, start: int = 0) -> None:
                super().__init__()
                self.count = start

            def on_receive(self, message: object) -> int:
                self.count += 1
                return self.count
    """

    child_type: ClassVar[ChildType] = ChildType.WORKER
    """What this class is to a supervisor (OTP's `type`)."""

    stop_allowance: ClassVar[float] = 0.0
    """Seconds a supervisor waits beyond `shutdown`, for actors that use `shutdown` as a grace themselves."""

    dispatcher: ClassVar[DispatcherKind] = SHARED
    """Which threads run it: `DEDICATED` for one whose handlers block for long, or must always be on the same thread."""

    mailbox: ClassVar[MailboxBound | None] = None
    """How many messages may wait, and what becomes of one more; no bound by default."""

    inline_asks: ClassVar[bool] = False
    """Whether an ask may be answered on the asker's thread when this actor is at rest. For quick code only.

    It saves the asker two thread switches, and everything else is as ever: one thread at a time, order, crashes.
    But the asker cannot give up before the handler returns. So an ask with a deadline under 0.1 s goes the
    other way, one from the main thread too, and so does every ask of an incarnation that once took longer than that.
    `start_child` runs the start of such an actor on its caller's thread, under the same conditions.
    """

    blocks_nowhere: ClassVar[bool] = False
    """For framework actors: nothing that runs in a turn of it waits. It is asked inline then, however long it takes."""

    receives_plainly: ClassVar[bool] = True
    """Whether `on_receive` takes every ordinary message; False where `handle` is overridden. Found out by itself."""

    context: Context

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        accept_pykkas_on_stop(cls)
        _refuse_wrong("mailbox", cls, cls.mailbox, MailboxBound | None, "a MailboxBound or None")
        _refuse_wrong("durability", cls, cls.durability, Durability, "a member of Durability")
        _refuse_wrong_interval(cls.__name__, cls.snapshot_every)
        _refuse_wrong("dispatcher", cls, cls.dispatcher, DispatcherKind, "SHARED or DEDICATED")
        cls.receives_plainly = cls.handle is Actor.handle and cls._handle_receive is Actor._handle_receive

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride] - pykka's ref is invariant in its actor
        """Start an actor that nobody supervises, as pykka does; return when its `__init__` has.

        Nobody restarts it: a crash is its end, and is logged. `ref.stop()` or
        `pykka.ActorRegistry.stop_all()` stops it, and the exit of the program does. To have it
        supervised, describe it with `ChildSpec.of(YourActor, ...)` instead. Safe from any thread.

        Raises:
            Exception: what `__init__` raised; then nothing was started.
            ActorCrashed: `__init__` raised what is no `Exception`.
            Fenced: in an actor that was given up on.
        """
        return start_standalone(spawn, cls, args, kwargs)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # pykka's own __init__ ran in `spawn`, before anybody could send to this actor; running it
        # again would replace the inbox under its senders.
        if not hasattr(self, "context"):
            raise TypeError(
                f"{type(self).__name__}() was called; describe it with ChildSpec.of({type(self).__name__}, ...),"
                f" or, for one that nobody supervises, {type(self).__name__}.start(...)"
            )

    def on_start(self) -> None:
        """Set up, after `__init__`. An exception here is a failed start; `Ignore` declines it."""

    def on_receive(self, message: Any) -> Any:
        """Handle `message`; what is returned answers an `ask`."""
        self.context.log.warning("unexpected message", message=type(message).__name__)

    def on_stop(self, reason: ExitReason | None = None) -> None:
        """Clean up, however the actor ends (a kill excepted); `reason` is never None."""

    def on_stop_request(self, reason: ExitReason) -> None:
        """Begin to end with `reason`; by default at once. For framework actors."""
        self.context.exit(reason)

    def on_kill(self) -> None:
        """Let go of what must not outlive the actor, without delay. For framework actors."""

    def on_system(self, message: object) -> None:
        """Handle a message of the system lane. For framework actors."""
        self.context.log.warning("unexpected system message", message=type(message).__name__)

    def get_state(self) -> object:
        """What `ref.sys.get_state()` answers: by default the attributes, as a new dict."""
        return {name: value for name, value in vars(self).items() if name not in _MACHINERY}

    def set_state(self, state: Any) -> None:
        """Take what `ref.sys.replace_state()` made: by default exactly these attributes, instead of all there were.

        Raises:
            TypeError: if `state` is no mapping of attribute names to values.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"found a state of type {type(state).__name__}, expected a mapping of attributes")
        attributes = dict(cast("Mapping[object, object]", state))
        wrong = [name for name in attributes if not isinstance(name, str) or name in _MACHINERY]
        if wrong:
            raise TypeError(f"found {wrong!r} in the new state, expected names of the actor's own attributes")
        machinery = {name: value for name, value in vars(self).items() if name in _MACHINERY}
        put_attributes(self, {**cast("dict[str, object]", attributes), **machinery})

    def describe(self) -> object:
        """What may be shown of the state in statuses and crash reports (OTP's format_status).

        By default names, numbers, enum members, lengths and types: no text, no contents.
        """
        return outline({name: value for name, value in vars(self).items() if name not in _MACHINERY})

    def describe_message(self, message: object) -> str:
        """What may be shown of a message in traces and crash reports; by default its type."""
        return type(message).__name__

    def stop_report(self) -> StopReport:
        """What the end of this actor really ended. For framework actors."""
        return StopReport(stopped=(self.context.path,))

    def handle(self, message: Any) -> Any:
        """Route pykka's own messages (proxies, stop) and everything else to `on_receive`."""
        if isinstance(message, pykka_messages._ActorStop):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - what pykka's ref.stop() sends
            # pykka's ref.stop() returns when the actor has stopped, so that is when this is answered.
            reply = self.context.take_reply()
            self.context.incarnation().stopped.when_done(lambda: reply.try_set(None))
            self.on_stop_request(Normal())
            return None
        return self._handle_receive(message)

    def stop(self) -> None:
        """End this actor with `Normal()` after the messages that wait now, as pykka does; `context.exit` is quicker."""
        # As an ask that nobody looks at: a second one, which meets a dead actor, is no dead letter.
        self.context.incarnation().tell_if_alive(Ask(pykka_messages._ActorStop(), Reply()))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as pykka's own does

    @property
    def actor_ref(self) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride] - pykka's ref is invariant in its actor
        """This incarnation's ref."""
        return cast("ActorRef[Self]", self._actor_ref)

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride] - read-only here
        """What tells this incarnation from every other of this process."""
        return self.actor_ref.actor_urn

    @staticmethod
    def _create_actor_inbox() -> Any:
        raise AssertionError("messages go into the incarnation's lanes")

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return Reply()

    def _start_actor_loop(self) -> None:
        raise AssertionError("actors are started by spawn()")


def _refuse_wrong(name: str, cls: type[Actor], found: object, kind: Any, expected: str) -> None:
    if not isinstance(found, kind):
        raise TypeError(f"{cls.__name__}.{name}: found {found!r}, expected {expected}")


def _refuse_wrong_interval(name: str, found: object) -> None:
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise TypeError(f"{name}.snapshot_every: found {found!r}, expected a number of entries, 1 or more")


def spawn(
    system: ActorSystem,
    spec: ChildSpec,
    *,
    path: ActorPath,
    parent: ActorPath | None,
    generation: Generation,
    notify: Callable[[ChildNotice], None] | None,
    made: Callable[[ActorRef[Any]], None] | None = None,
) -> ActorRef[Any]:
    """Start one incarnation of `spec` and return at once.

    `notify` hears, from any thread: `Started` (then perhaps `Ready`) or `Declined`, and `Exited`
    exactly once, and last. A failed start is an `Exited` without a `Started`; so is a class that
    cannot be instantiated. `made` is called on the actor's own turn between `__init__` and `on_start`.
    For supervisors.

    Raises:
        Fenced: in a supervisor that was given up on: its successor starts the children.
    """
    spawner = running_incarnation()
    if spawner is not None and spawner.is_fenced():
        spawner.refuse(spec)
    incarnation = _incarnation_class(spec.actor_class)(
        system, spec, next(spawn_numbers), path=path, parent=parent, generation=generation, notify=notify
    )
    actor, make = _allocate(spec)
    actor.context = Context(incarnation)
    incarnation.actor = actor
    ref: ActorRef[Any] = ActorRef(incarnation)
    actor._actor_ref = ref  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - pykka's slot for it
    incarnation.start(make if made is None else partial(_make_and_tell, make, partial(made, ref)))
    return ref


def _incarnation_class(actor_class: type[Actor]) -> type[Incarnation]:
    keeps = actor_class.durability is not Durability.NONE and actor_class.is_durable()
    return KeptIncarnation if keeps else Incarnation


def _make_and_tell(make: Callable[[], None], made: Callable[[], None]) -> None:
    make()
    made()


def _allocate(spec: ChildSpec) -> tuple[Actor, Callable[[], None]]:
    """The object, and what fills it in on the actor's own turn."""
    try:
        actor = spec.actor_class.__new__(spec.actor_class)
    except Exception as error:  # noqa: BLE001 - actor boundary: an abstract class is a failed start, not the supervisor's crash
        return Actor.__new__(Actor), partial(_raise, error)
    if actor.is_durable():
        return actor, _Construction(actor, spec)
    return actor, lambda: actor.__init__(*spec.args, **spec.kwargs)  # type: ignore[misc]  # the object was made above


@final
class _Construction:
    """Runs `__init__`; called again, it empties the object first, so that nothing half-done stays in it."""

    def __init__(self, actor: Actor, spec: ChildSpec) -> None:
        self._actor, self._spec = actor, spec
        self._blank: dict[str, object] | None = None

    def __call__(self) -> None:
        if self._blank is None:
            self._blank = vars(self._actor).copy()  # by now it has what every actor is given
        else:
            put_attributes(self._actor, self._blank)  # what every actor is given is there all the while
            _empty_slots(self._actor)
        self._actor.__init__(*self._spec.args, **self._spec.kwargs)  # type: ignore[misc]  # the object was made before


def _empty_slots(actor: Actor) -> None:
    members = (member for cls in type(actor).__mro__ for member in vars(cls).values())
    for slot in members:
        if isinstance(slot, MemberDescriptorType):
            with contextlib.suppress(AttributeError):  # it is empty
                slot.__delete__(actor)


def _raise(error: Exception) -> None:
    raise error
