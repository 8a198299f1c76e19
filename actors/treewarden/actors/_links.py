"""Links and monitors: how an actor hears of another's end (supervision.md A.12).

A monitor looks one way and brings one `Down`. A link binds both ways: an abnormal end of one ends
the other too, unless that one traps exits and gets an `ExitSignal` instead. Both messages are
ordinary ones, put in the mailbox before the supervisor hears of the end: what an actor told another
before it died is handled before the news of its death, and what its successor tells, after it.

Each monitor brings exactly one `Down`, or none if it was dropped first: both sides are noted under
one lock, and an end is declared before its ties are cut under the same lock, so a monitor that is
set meanwhile finds the end or is found by it. What has ended keeps no ties, on either side.

Not promised: of an actor that was given up on while its thread was sending, that very message may
come after its `Down`. A `Down` that meets a dead actor is dropped, and is no dead letter.
"""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from treewarden.actors._child_spec import ChildType
from treewarden.actors._exits import ExitReason, Gone, describe_exit, is_abnormal
from treewarden.actors._messages import Stop

if TYPE_CHECKING:
    from treewarden.actors._lanes import Lanes
    from treewarden.actors._ref import ActorRef, Address

    Target: TypeAlias = ActorRef[Any] | Address

__all__ = [
    "Down",
    "ExitSignal",
    "Monitor",
    "Signal",
    "Ties",
    "cut_ties",
    "demonitor",
    "drop_ties",
    "link",
    "monitor",
    "trap",
    "unlink",
]

# Guards every `Ties` and the making of them; one for all, since a tie has two ends that change
# together. Held for dictionary operations only, never while calling out.
_tying: Final = threading.Lock()


@final
class Monitor:
    """One monitor of one actor: its `Down` carries it, and `context.demonitor` takes it."""

    __slots__ = ("_dropped", "owner", "target", "watched")

    def __init__(self, owner: "Lanes", target: "Target", watched: "Lanes | None") -> None:
        self.owner: Final = owner
        self.target: Final = target
        """What is monitored: an incarnation, or the address itself if it reached nobody."""
        self.watched: Final = watched
        self._dropped = False  # written and read on the owner's turn only

    def __repr__(self) -> str:
        return f"<Monitor of {self.target.path}>"

    def drop(self) -> None:
        """Let no `Down` of this monitor be handled from now on."""
        self._dropped = True

    def is_dropped(self) -> bool:
        """Whether a `Down` on its way is void."""
        return self._dropped


@final
@dataclass(frozen=True, slots=True)
class Down:
    """A monitored actor has ended (OTP's `'DOWN'`): one for each monitor.

    `ref` is the incarnation, or the `Address` that was monitored if it reached nobody; the reason is
    then `Gone()`.
    """

    ref: "Target"
    reason: ExitReason
    monitor: Monitor


@final
@dataclass(frozen=True, slots=True)
class ExitSignal:
    """A linked actor has ended, told to one that traps exits (OTP's `'EXIT'`).

    `ref` is the incarnation, or the `Address` that was linked if it reached nobody; the reason is
    then `Gone()`.
    """

    ref: "Target"
    reason: ExitReason


@final
class Signal:
    """A `Down` or `ExitSignal` in a mailbox, which may still be called off."""

    __slots__ = ("_called_off", "_monitor", "message")

    def __init__(self, message: Down | ExitSignal) -> None:
        self.message = message
        self._monitor = message.monitor if isinstance(message, Down) else None
        self._called_off = False  # written and read on the receiver's turn only

    def call_off(self) -> None:
        """Let it not be handled."""
        self._called_off = True

    def is_void(self) -> bool:
        """Whether it was called off, or its monitor dropped, meanwhile."""
        return self._called_off or (self._monitor is not None and self._monitor.is_dropped())


@final
class Ties:
    """What binds one incarnation to others; made when the first tie is."""

    __slots__ = ("links", "monitors", "traps", "watchers")

    def __init__(self) -> None:
        self.monitors: dict[Monitor, None] = {}  # those it set
        self.watchers: dict[Monitor, None] = {}  # those set on it
        self.links: dict[Lanes, None] = {}
        self.traps = False


def monitor(owner: "Lanes", target: "Target", watched: "Lanes | None") -> Monitor:
    """Have `owner` told once when `watched` has ended; at once if it has, or is nobody."""
    made = Monitor(owner, target, watched)
    with _tying:
        # The owner was given up on a moment ago: nobody would take the Down.
        reason = Gone() if watched is None else watched.exit_reason()
        if watched is not None and reason is None and not owner.has_ended():
            _ties(owner).monitors[made] = None
            _ties(watched).watchers[made] = None
    if reason is not None:
        _tell_down(made, reason)
    return made


def demonitor(owner: "Lanes", dropped: Monitor) -> None:
    """Drop a monitor together with a `Down` that is on its way.

    Raises:
        ValueError: if it is another actor's, who may have handled its `Down` already.
    """
    if dropped.owner is not owner:
        raise ValueError(f"{owner.path} cannot drop {dropped}, which {dropped.owner.path} set; expected one of its own")
    dropped.drop()
    with _tying:
        _forget(dropped)


def link(me: "Lanes", target: "Target", other: "Lanes | None") -> None:
    """Bind two incarnations; a dead `other`, or nobody, sends its exit signal at once."""
    if other is me:
        return
    with _tying:
        reason = Gone() if other is None else other.exit_reason()
        if other is not None and reason is None and not me.has_ended():
            _ties(me).links[other] = None
            _ties(other).links[me] = None
    if reason is not None:
        _signal_exit(me, target, reason)


def unlink(me: "Lanes", other: "Lanes") -> None:
    """Undo a link, if there is one, on both sides."""
    with _tying:
        for one, partner in ((me, other), (other, me)):
            if one.ties is not None:
                one.ties.links.pop(partner, None)


def trap(me: "Lanes") -> None:
    """From now on exit signals reach `me` as messages."""
    with _tying:
        _ties(me).traps = True


def drop_ties(me: "Lanes") -> None:
    """Undo what `me` has set up, on its own turn: its monitors, its links, its trap. Who monitors `me` still does."""
    with _tying:
        if me.ties is None:
            return
        for own in me.ties.monitors:
            own.drop()
            _forget_watcher(own)
        for partner in me.ties.links:
            if partner.ties is not None:
                partner.ties.links.pop(me, None)
        me.ties.monitors.clear()
        me.ties.links.clear()
        me.ties.traps = False


def cut_ties(ended: "Lanes", reason: ExitReason) -> None:
    """Tell everyone who is tied to `ended`, whose end was just declared, and forget them all."""
    with _tying:
        if ended.ties is None:  # nobody can tie to it any more
            return
        ties, ended.ties = ended.ties, None
        for own in ties.monitors:
            _forget_watcher(own)
        for watcher in ties.watchers:
            _forget_owned(watcher)
        for partner in ties.links:
            if partner.ties is not None:
                partner.ties.links.pop(ended, None)
    for watcher in ties.watchers:
        _tell_down(watcher, reason)
    for partner in ties.links:
        _signal_exit(partner, _ref_of(ended), reason)


def _ties(of: "Lanes") -> Ties:
    if of.ties is None:
        of.ties = Ties()
    return of.ties


def _forget(dropped: Monitor) -> None:
    _forget_owned(dropped)
    _forget_watcher(dropped)


def _forget_owned(dropped: Monitor) -> None:
    if dropped.owner.ties is not None:
        dropped.owner.ties.monitors.pop(dropped, None)


def _forget_watcher(dropped: Monitor) -> None:
    if dropped.watched is not None and dropped.watched.ties is not None:
        dropped.watched.ties.watchers.pop(dropped, None)


def _tell_down(watcher: Monitor, reason: ExitReason) -> None:
    watcher.owner.tell_if_alive(Signal(Down(watcher.target, reason, watcher)))


def _signal_exit(to: "Lanes", source: "Target", reason: ExitReason) -> None:
    ties = to.ties
    if to.spec.actor_class.child_type is ChildType.SUPERVISOR:
        # A supervisor traps, and drops exits that are not its children's (supervisor(3)): whoever
        # links to one binds itself, not the children of others.
        if is_abnormal(reason):
            to.system.log(to.path).warning("linked exit ignored", source=source.path, reason=describe_exit(reason))
    elif ties is not None and ties.traps:
        to.tell_if_alive(Signal(ExitSignal(source, reason)))
    elif is_abnormal(reason):
        to.tell_system(Stop(reason))


def _ref_of(incarnation: "Lanes") -> "ActorRef[Any]":
    assert incarnation.actor is not None
    return incarnation.actor.actor_ref
