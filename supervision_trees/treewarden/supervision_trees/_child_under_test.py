"""One child of a tree under test: what the test makes it do, and what can be seen of it.

Orders take effect when the tree is run next (`wait_idle`, `advance`, any call that waits), so that
several things can happen "at once". What is seen is what is so now; looking runs nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from treewarden.actors import (
    ActorPath,
    ActorRef,
    Crashed,
    ExitReason,
    Generation,
    Normal,
    TreewardenError,
    describe_exit,
)
from treewarden.supervision_trees._children import Child, ChildState
from treewarden.supervision_trees._scripted import (
    BecomeReady,
    CompleteStart,
    Crash,
    Exit,
    GiveIn,
    HangsAtStart,
    IgnoresStop,
    Life,
    NotReady,
    Order,
    Scripted,
    ScriptedCrash,
    Scripts,
    SlowStop,
)
from treewarden.supervision_trees._supervisor import ChildRow

__all__ = ["ChildUnderTest", "UnknownChild", "WrongState"]


class UnknownChild(TreewardenError, LookupError):
    """The tree has no such child now, or several; `known` are the paths it has."""

    def __init__(self, what: str, known: tuple[str, ...]) -> None:
        super().__init__(f"{what}; the tree has {', '.join(known)}")
        self.known = known


class WrongState(TreewardenError):
    """What the test asks for cannot be done, or said, of something in this state."""


@final
class ChildUnderTest:
    """The child at one path, whichever incarnation lives there. One thread only.

    `crashes`, `exits` and `kill` are for any actor, the others for scripted children. All raise
    `WrongState` if the child cannot do that now, and `UnknownChild` if it is not there any more.
    """

    def __init__(self, path: ActorPath, look: Callable[[], Mapping[ActorPath, ChildRow]], scripts: Scripts) -> None:
        self.path: Final = path
        self._look, self._scripts = look, scripts

    def __repr__(self) -> str:
        row = self._look().get(self.path)
        return f"<ChildUnderTest {self.path}: {'not there' if row is None else row.child.state.value}>"

    # What the test makes it do

    def crashes(self, error: BaseException | None = None) -> None:
        """Have it crash with `error`; a scripted child in its handler, another actor after the message in hand."""
        error = ScriptedCrash(f"{self.path} crashed, as the test ordered") if error is None else error
        ref = self._living("crash")
        if isinstance(ref.incarnation().actor, Scripted):
            ref.tell(Crash(error))
        else:
            ref.incarnation().request_exit(Crashed(error))

    def exits(self, reason: ExitReason | None = None) -> None:
        """Have it end by itself with `reason` (`Normal()` if none), as an actor does by `context.exit`."""
        reason = Normal() if reason is None else reason
        ref = self._living("exit")
        if isinstance(ref.incarnation().actor, Scripted):
            ref.tell(Exit(reason))
        else:
            ref.incarnation().request_exit(reason)

    def kill(self) -> None:
        """End it without its `on_stop`, reason `Killed()`."""
        self._living("be killed").kill()

    def starts(self) -> None:
        """Have the start that hangs (`HangsAtStart`) complete."""
        self._order("complete its start", CompleteStart(), HangsAtStart)

    def becomes_ready(self) -> None:
        """Have it be ready, which it was not (`NotReady`)."""
        self._order("become ready", BecomeReady(), NotReady)

    def stops(self) -> None:
        """Have it stop, though it ignores that or takes its time: at once, or at once when it is told to."""
        self._order("give in", GiveIn(), IgnoresStop, SlowStop, HangsAtStart)

    def next_start(self, *lives: Life) -> None:
        """Have its next incarnations lead `lives`, one each, before what its script has further."""
        found = self._row().child.spec.actor_class
        if not issubclass(found, Scripted):
            raise WrongState(f"{self.path} is a {found.__name__}; only a scripted child has lives to choose")
        self._scripts.insert(self.path, lives)

    # What can be seen

    @property
    def state(self) -> ChildState:
        """Where it is, as its supervisor sees it."""
        return self._row().child.state

    @property
    def generation(self) -> Generation:
        """Which incarnation lives there, or did last."""
        return self._row().child.generation

    @property
    def restarts(self) -> int:
        """How often its supervisor started it again by itself."""
        return self._row().child.restarts

    @property
    def last_exit(self) -> ExitReason | None:
        """How the incarnation before this one ended, or the last one; None if none has."""
        return self._row().child.last_exit

    @property
    def is_ready(self) -> bool:
        """Whether those that need it may rely on it."""
        return self._row().child.ready

    @property
    def ref(self) -> ActorRef[Any] | None:
        """Its living incarnation, one that is starting included; None if there is none."""
        row = self._look().get(self.path)
        return None if row is None or row.ref is None or not row.ref.is_alive() else row.ref

    @property
    def is_alive(self) -> bool:
        """Whether an incarnation lives; False also if the child was forgotten."""
        return self.ref is not None

    def _row(self) -> ChildRow:
        rows = self._look()
        try:
            return rows[self.path]
        except KeyError:
            raise UnknownChild(f"there is no {self.path} now", tuple(rows)) from None

    def _living(self, act: str) -> ActorRef[Any]:
        child, ref = self._row().child, self.ref
        if ref is None:
            raise WrongState(f"{self.path} cannot {act}: no incarnation lives, it is {_described(child)}")
        return ref

    def _order(self, act: str, order: Order, *lives: type[Life]) -> None:
        ref = self._living(act)
        actor = ref.incarnation().actor
        if not isinstance(actor, Scripted):
            raise WrongState(f"{self.path} cannot {act} at an order: it is a {type(actor).__name__}, not scripted")
        life: Life | None = getattr(actor, "life", None)  # not there before its __init__ has run
        if not isinstance(life, lives):
            wanted = " or ".join(each.__name__ for each in lives)
            found = "has not begun (wait_idle first)" if life is None else f"leads the life {life}"
            raise WrongState(f"{self.path} cannot {act}: it {found}; expected {wanted}")
        ref.tell(order)


def _described(child: Child) -> str:
    if child.last_exit is None:
        return child.state.value
    return f"{child.state.value} and ended last with: {describe_exit(child.last_exit)}"
