"""Mistakes: a `Finding` at a location inside the data, and a `Complaint` at a line of a file.

A location is the keys and indices that lead to a value, as in `("children", 2, "restart")`.
Every check of this package answers with findings; only `_parse` turns them into complaints, all
of which go into one error, so a file is corrected in one go.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from treewarden.actors import TreewardenError
from treewarden.supervision_trees.definitions._wording import spelt_key

__all__ = ["EVERY", "Complaint", "DefinitionErrors", "Doubts", "Finding", "Location", "line_of", "place_of"]

Location: TypeAlias = tuple[str | int, ...]

EVERY: Final = -1
"""As the last index in a dependency: every item, so that a thousand siblings need not be named one by one."""


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake at `location`.

    `depends` names the other locations that the judgement rests on: if one of them is itself
    complained about, this finding may be a mere consequence and is left out.
    """

    location: Location
    found: str
    expected: str
    depends: tuple[Location, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Complaint:
    """One mistake: where it is, what was found there, and what would be right.

    `place` is written as one would point at it (`children[2].restart`); it is empty when the
    complaint is about the file as a whole. `line` counts from 1, 0 if it is not known.
    """

    file: str
    line: int
    place: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.place}: " if self.place else ""
        return f"{where}  {subject}found {self.found}, expected {self.expected}"


@final
class DefinitionErrors(TreewardenError):
    """A definition cannot be run as it is written; nothing was started.

    `complaints` has at least one member and is in the order of the file. The text of the error
    is one line for each.
    """

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        assert complaints, "an error without a complaint"
        self.complaints = tuple(complaints)
        super().__init__("\n".join(str(complaint) for complaint in self.complaints))


def place_of(location: Location) -> str:
    """The location as a person would write it: `children[2].env.PORT`."""
    text = ""
    for step in location:
        match step:
            case int():
                text += f"[{step}]"
            case str():
                key = spelt_key(step)
                text += key if not text or key.startswith("[") else f".{key}"
    return text


def line_of(lines: Mapping[Location, int], location: Location) -> int:
    """The line of `location`, or of the nearest thing around it whose line is known; else 0."""
    for end in range(len(location), -1, -1):
        line = lines.get(location[:end])
        if line is not None:
            return line
    return 0


@final
class Doubts:
    """The locations already complained about: a finding that rests on one of them may be its mere consequence."""

    def __init__(self, locations: Iterable[Location]) -> None:
        exact = frozenset(locations)
        around = frozenset(location[:end] for location in exact for end in range(len(location) + 1))
        self._exact = exact | {_for_every_item(location) for location in exact}
        self._around = around | {_for_every_item(location) for location in around}

    def concern(self, finding: Finding) -> bool:
        """Whether a doubtful location is above, below or the same as one that `finding` rests on."""
        return any(
            location in self._around or any(location[:end] in self._exact for end in range(len(location)))
            for location in (finding.location, *finding.depends)
        )


def _for_every_item(location: Location) -> Location:
    """The location with its last index replaced by `EVERY`, as dependencies may name it."""
    last = next((at for at in range(len(location) - 1, -1, -1) if isinstance(location[at], int)), None)
    return location if last is None else (*location[:last], EVERY, *location[last + 1 :])
