"""Text with references: `${ID.FIELD}` is filled in at each start, `$${` is a literal `${`.

Text is read once, into parts; nothing is searched for `${` again when a process starts, so a
value that happens to contain one is safe. Values are put in as they are: in a line for a shell,
quote the place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NewType, TypeAlias, final

from treewarden.actors import ActorPath, is_child_id
from treewarden.actors.processes import Facts

__all__ = [
    "REFERENCE_RULE",
    "Fact",
    "Malformed",
    "Part",
    "Reference",
    "Template",
    "bound",
    "filled",
    "literal",
    "parts_of",
]

REFERENCE_RULE: Final = "a reference such as ${api.pid}, or $${ for a literal ${"

_MARK: Final = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]*")


@final
@dataclass(frozen=True, slots=True)
class Reference:
    """`${ID.FIELD}`, not yet looked up."""

    child: str
    field: str

    def __str__(self) -> str:
        return f"${{{self.child}.{self.field}}}"


@final
@dataclass(frozen=True, slots=True)
class Malformed:
    """Something that begins like a reference and is none."""

    text: str


Part: TypeAlias = str | Reference | Malformed


@final
@dataclass(frozen=True, slots=True)
class Fact:
    """A reference that has been looked up: the value called `name` of the actor at `path`."""

    path: ActorPath
    name: str


Template = NewType("Template", tuple[str | Fact, ...])
"""Text whose references have been looked up."""


def parts_of(text: str) -> tuple[Part, ...]:
    """Read text into literal parts and references. Never raises; see `Malformed`."""
    parts: list[Part] = []
    end = 0
    for match in _MARK.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        parts.append("${" if match[0] == "$${" else _reference(match[0], match[1]))
    parts.append(text[end:])
    return tuple(part for part in parts if part != "")


def _reference(text: str, inner: str | None) -> Reference | Malformed:
    # An id may hold dots, a field holds none.
    child, _, field = (inner or "").rpartition(".")
    return Reference(child, field) if is_child_id(child) and _FIELD.fullmatch(field) else Malformed(text)


def literal(text: str) -> str | None:
    """The text itself, `$${` read as `${`; `None` if it has references and is known only at a start."""
    parts = parts_of(text)
    return "".join(str(part) for part in parts) if all(isinstance(part, str) for part in parts) else None


def bound(text: str, look_up: Callable[[Reference], Fact]) -> Template:
    """The template of a text that has been checked: every reference has a fact."""
    parts = parts_of(text)
    assert not any(isinstance(part, Malformed) for part in parts), f"unchecked text: {text!r}"
    return Template(tuple(look_up(part) if isinstance(part, Reference) else str(part) for part in parts))


def filled(template: Template, facts: Facts) -> str:
    """The text with every fact put in.

    Raises:
        LookupError: if a fact is not known.
    """
    return "".join(part if isinstance(part, str) else facts.fact(part.path, part.name) for part in template)
