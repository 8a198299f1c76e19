"""Plain data to `TreeFields`, with every complaint of the schema as a finding in our own words.

A mistake must not hide another, so a file with mistakes is mended, in memory only, until the
schema takes it: what is wrong is left out, what is missing gets a stand-in. The checks that look
at several fields then run on what remains, and whatever rests on a mended location is dropped
(`_mistakes.Doubts`). A mended tree is never run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast, final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from treewarden.supervision_trees.definitions._fields import RULE_BROKEN
from treewarden.supervision_trees.definitions._mistakes import Finding, Location
from treewarden.supervision_trees.definitions._schema import KNOWN_KEYS, REQUIRED, TREE, UNION_TAGS, TreeFields
from treewarden.supervision_trees.definitions._wording import alternatives, closest, described, one_of

__all__ = ["Validated", "validate"]

_KEY_MARK: Final = "[key]"  # pydantic's last step for an error about a key itself
_MOST_ROUNDS: Final = 8  # each leaves something out; a tree that needs more is not worth guessing at


@final
@dataclass(frozen=True, slots=True)
class Validated:
    """What the schema said. Without findings `tree` is the file; with some it is a mended one, or `None`."""

    tree: TreeFields | None
    findings: tuple[Finding, ...] = ()


def validate(data: object) -> Validated:
    """Check plain data against the schema. Never raises; `data` is not changed."""
    try:
        return Validated(TREE.validate_python(data))
    except ValidationError as error:
        details = error.errors(include_url=False)
    return Validated(_mended(data, details), tuple(_finding(detail) for detail in details))


def _mended(data: object, details: list[ErrorDetails]) -> TreeFields | None:
    for _ in range(_MOST_ROUNDS):
        for detail in details:
            data = _without(data, _removable(_location(detail)), is_missing=detail["type"] == "missing")
        try:
            return TREE.validate_python(data)
        except ValidationError as error:
            details = error.errors(include_url=False)
    return None


def _location(detail: ErrorDetails) -> Location:
    steps = tuple(step for step in detail["loc"] if step not in UNION_TAGS)
    return steps[:-1] if steps and steps[-1] == _KEY_MARK else steps


def _removable(location: Location) -> Location:
    """The part to leave out for a mistake at `location`: of a list, the whole, except for children.

    Later items would move up otherwise, and the next mistake would be looked for in the wrong one.
    """
    match location:
        case (*_, "children", int()):
            return location
        case (*around, int()):
            return tuple(around)
        case _:
            return location


def _finding(detail: ErrorDetails) -> Finding:
    location = _location(detail)
    key = str(location[-1]) if location else ""
    match detail["type"]:
        case "missing":
            return Finding(location, "nothing", REQUIRED[key])
        case "extra_forbidden":
            return Finding(location, "an unknown key", _known_keys(detail["loc"], key))
        case kind:
            assert kind == RULE_BROKEN, f"a field of the schema has no rule of its own: {detail}"
            return Finding(location, described(detail["input"]), str(detail.get("ctx", {})["expected"]))


def _known_keys(loc: Iterable[str | int], key: str) -> str:
    mapping = [str(step) for step in loc][:-1]
    known = next((KNOWN_KEYS[step] for step in reversed(mapping) if step in KNOWN_KEYS), KNOWN_KEYS[""])
    near = closest(key, known)
    return one_of(known) if near is None else f"{near} (the keys here: {alternatives(known)})"


def _without(data: object, location: Location, *, is_missing: bool) -> object:
    """`data` without the value at `location`, or with a stand-in for what is missing there."""
    if not location:
        return {}
    step, rest = location[0], location[1:]
    if isinstance(data, dict):
        mapping = cast("dict[str | int, object]", data)
        if rest and step in mapping:
            return {**mapping, step: _without(mapping[step], rest, is_missing=is_missing)}
        if is_missing:
            return {**mapping, step: _STAND_INS[str(step)]}
        return {key: value for key, value in mapping.items() if key != step}
    if isinstance(data, list):
        assert isinstance(step, int), f"{step!r} is no index of a list"
        items = cast("list[object]", data)
        mended = _without(items[step], rest, is_missing=is_missing) if rest else dict[str, object]()
        return [*items[:step], mended, *items[step + 1 :]]
    return data


_STAND_INS: Final[dict[str, object]] = {
    "version": 1,
    "name": "unnamed",
    "id": "unnamed",
    "kind": "process",
    "command": ["sh"],
    "class": "builtins:object",
}
"""What takes the place of a required field. Nothing is ever said about one: its location is doubtful."""
