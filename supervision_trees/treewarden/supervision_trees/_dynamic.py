"""A supervisor of children that come and go: Elixir's DynamicSupervisor, in place of OTP's simple_one_for_one.

It begins with no children; each is started by a call and brings its own spec. What ends for good
is forgotten, at the end of the supervisor all children stop at once, each within its own time, and
one child's restart concerns no other (supervision.md A.1, B 4). Unlike Elixir's it goes on answering
while a child starts, and each child has an id, for its path: given, or its class's name and a number.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, final

from treewarden.actors import ChildId, ChildSpec, Intensity
from treewarden.supervision_trees._checks import is_count
from treewarden.supervision_trees._children import Child
from treewarden.supervision_trees._effects import StartChild
from treewarden.supervision_trees._errors import InvalidSupervisor
from treewarden.supervision_trees._roster import Membership
from treewarden.supervision_trees._strategy import DEFAULT_INTENSITY
from treewarden.supervision_trees._supervisor import Supervisor

__all__ = ["DynamicSupervisor"]

LONGEST_ID: Final = 64  # CHILD_ID_RULE
MOST_DIGITS: Final = 18  # of a number given by hand that is remembered: no counter comes so far


class DynamicSupervisor(Supervisor):
    """Starts children on demand, and forgets those that ended for good.

    A child that is to be restarted keeps its place and counts; one that used up a limit of its own
    is parked `failed` until `restart_child` or `terminate_child`. `max_children` bounds those that
    run or are being restarted, parked ones not included. A child may not be `significant`.

    Children are lost when the supervisor itself is restarted: it begins with none, as in Elixir.

    Example:
        ChildSpec.of(DynamicSupervisor, id="agents", max_children=100, intensity=Intensity(10, within=60.0))
    """

    membership: ClassVar[Membership] = Membership.DYNAMIC
    blocks_nowhere: ClassVar[bool] = True

    @classmethod
    def declared_children(cls, spec: ChildSpec) -> tuple[ChildSpec, ...]:  # noqa: ARG003 - whatever it says
        """None: all are started by calls."""
        return ()

    def __init__(self, *, max_children: int | None = None, intensity: Intensity = DEFAULT_INTENSITY) -> None:
        """Begin without children.

        Raises:
            InvalidSupervisor: `max_children` is no whole number from 0 on.
        """
        if max_children is not None and not is_count(max_children):
            raise InvalidSupervisor("max_children", max_children, "a whole number, 0 or more, or None for no limit")
        self.max_children = max_children
        super().__init__(intensity=intensity)
        self._numbering = _Numbering()

    def on_receive(self, message: object) -> None:
        """Take a call; a child without an id of its own gets one first."""
        # What is no spec is refused below, as by every supervisor.
        if isinstance(message, StartChild) and isinstance(message.spec, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance] - a caller may send anything
            named = self._numbering.named(message.spec, self._machine.children)
            message = message if named is message.spec else StartChild(named)
        super().on_receive(message)


@final
class _Numbering:
    """Numbers for children without an id of their own; none is given twice, or was used by hand before.

    It keeps one number for each word that ids begin with, however many children there were.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def named(self, spec: ChildSpec, children: Mapping[ChildId, Child]) -> ChildSpec:
        """`spec` under an id of its own: the given one, or `worker-1`, `worker-2`, ... that none of `children` has."""
        if spec.id_is_given:
            word, _, digits = spec.id.rpartition("-")  # an id has no other digits than these ten
            if word and digits.isdecimal() and digits[0] != "0" and len(digits) <= MOST_DIGITS:
                self._last[word] = max(self._last.get(word, 0), int(digits))
            return spec
        while (name := self._next(spec.id)) in children:
            pass  # one that was cut to length may look like another's
        return spec.named(name)

    def _next(self, word: str) -> ChildId:
        number = self._last[word] = self._last.get(word, 0) + 1
        end = f"-{number}"
        return ChildId(word[: LONGEST_ID - len(end)] + end)
