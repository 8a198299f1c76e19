"""Names of things: actor paths, child ids, generations.

A path (`/dev/api`) names a place in the tree and survives restarts; a generation numbers the
incarnations that lived in that place. Only the pair names one incarnation, so every late
message about an earlier life can be told apart (supervision.md A.15).
"""

import itertools
import re
from typing import Final, NewType

__all__ = [
    "CHILD_ID_RULE",
    "ActorPath",
    "ChildId",
    "Generation",
    "child_path",
    "is_child_id",
    "parse_path",
    "spawn_numbers",
]

ActorPath = NewType("ActorPath", str)
ChildId = NewType("ChildId", str)
Generation = NewType("Generation", int)

CHILD_ID_RULE: Final = "1 to 64 of letters, digits, '_', '-' and '.', beginning with a letter or digit"
spawn_numbers: Final = itertools.count(1)  # one for each incarnation of this process, in the order of their starts

_CHILD_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def is_child_id(text: str) -> bool:
    """Whether `text` may name a child (see `CHILD_ID_RULE`); such a name is safe in a file name."""
    return _CHILD_ID.fullmatch(text) is not None


def child_path(parent: ActorPath, child: ChildId) -> ActorPath:
    """The path of `child` below `parent`; the root's parent is the empty path."""
    return ActorPath(f"{parent}/{child}")


def parse_path(text: str) -> ActorPath:
    """Read a path typed by a person: `dev/api`, `/dev/api` and `/dev/api/` mean the same.

    Raises:
        ValueError: if a segment is not a child id; the message names it and the rule.
    """
    segments = text.strip("/").split("/")
    for segment in segments:
        if not is_child_id(segment):
            raise ValueError(f"{text!r} is not an actor path: found {segment!r}, expected {CHILD_ID_RULE}")
    return ActorPath("/" + "/".join(segments))
