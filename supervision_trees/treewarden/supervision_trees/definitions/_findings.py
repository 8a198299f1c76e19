"""A finding: a mistake at a location inside the data, before it has a file and a line.

A location is the keys and indices that lead to a value, as in `("children", 2, "restart")`.
Every check of this package answers with findings; only `_parse` turns them into complaints.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, final

from treewarden.supervision_trees.definitions._wording import spelt_key

__all__ = ["Finding", "Location", "line_of", "place_of", "touches"]

Location: TypeAlias = tuple[str | int, ...]


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


def touches(finding: Finding, doubtful: Iterable[Location]) -> bool:
    """Whether `finding` rests on one of the `doubtful` locations: above it, below it, or the same."""
    return any(_nested(location, doubt) for doubt in doubtful for location in (finding.location, *finding.depends))


def _nested(one: Location, other: Location) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]
