"""The text of a definition as plain data, with the line of every value beside it.

YAML, TOML and JSON end in the same `Document`, so nothing after this point knows which of the
three it was. No reader constructs anything but text, numbers, booleans, null, lists and
mappings with text keys (and TOML's dates). `MAX_NODES` and `MAX_DEPTH` bound what a hostile or
mistaken file can cost; no legitimate tree comes near them.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from treewarden.supervision_trees.definitions._mistakes import Finding, Location

__all__ = ["MAX_DEPTH", "MAX_NODES", "Document", "Format", "Unreadable", "WrittenFloat", "WrittenInt"]

MAX_NODES: Final = 200_000
MAX_DEPTH: Final = 64


@final
class Format(enum.Enum):
    """The notations a definition may be written in; the value is what follows the dot of a file name."""

    YAML = "yaml"
    TOML = "toml"
    JSON = "json"


@final
@dataclass(frozen=True, slots=True)
class Document:
    """Plain data, where each value stands, and what was wrong with the text that could be read past.

    `lines` need not hold every location; see `line_of`. Aliased YAML values are shared, never
    copied, so `data` is not to be changed.
    """

    data: object
    lines: Mapping[Location, int]
    findings: tuple[Finding, ...] = ()


@final
class Unreadable(Exception):
    """The text has no meaning in its notation, from `line` on (0: not known). Ends inside this package."""

    def __init__(self, line: int, found: str, expected: str) -> None:
        super().__init__(f"line {line}: found {found}, expected {expected}")
        self.line, self.found, self.expected = line, found, expected


@final
class WrittenFloat(float):
    """A float that remembers its spelling: `VERSION: 3.10` must reach a process as 3.10, not 3.1."""

    text: str

    def __new__(cls, text: str) -> "WrittenFloat":
        """The number spelt `text` in the file."""
        number = super().__new__(cls, text)
        number.text = text
        return number


@final
class WrittenInt(int):
    """An int that remembers its spelling: `UMASK: 0022` must reach a process as 0022, not 22."""

    text: str

    @classmethod
    def read(cls, text: str, digits: str, base: int) -> "WrittenInt":
        """The number that `digits` are in `base`, spelt `text` in the file."""
        number = cls(digits, base)
        number.text = text
        return number
