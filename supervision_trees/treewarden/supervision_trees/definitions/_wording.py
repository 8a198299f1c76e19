"""How values, keys and lists of names are spelt in a complaint: short, on one line, unambiguous."""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Final

__all__ = ["alternatives", "clipped", "closest", "described", "one_of", "spelt_key"]

_MOST_CHARACTERS: Final = 60
_MOST_NAMES: Final = 24
_MOST_COMPARED: Final = 500  # comparing takes some 10 microseconds for each name
_HUGE: Final = 10**30  # beyond this Python may refuse to print an int (sys.set_int_max_str_digits)
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def clipped(text: str) -> str:
    """`text` in quotes, its middle left out when it is long, with every odd character escaped."""
    if len(text) > _MOST_CHARACTERS:
        half = _MOST_CHARACTERS // 2
        text = f"{text[:half]}...{text[-half:]}"
    return ascii(text) if any(not character.isprintable() for character in text) else repr(text)


def described(value: object) -> str:
    """A value from a file, in the file's own words: `'permament'`, `true`, `a list`, `null`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return clipped(value)
        case int():
            return str(int(value)) if -_HUGE < value < _HUGE else "a huge number"
        case float():
            return str(value)
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a mapping" if value else "an empty mapping"
        case _:
            return f"{value} (a {type(value).__name__})"  # TOML's dates and times


def spelt_key(key: str) -> str:
    """A mapping's key as part of a place; a key that could be misread is quoted in brackets."""
    return key if _PLAIN_KEY.fullmatch(key) else f"[{clipped(key)}]"


def closest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` was most probably meant to be; among very many, none is looked for."""
    if len(known) > _MOST_COMPARED:
        return None
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return near[0] if near else None


def one_of(names: Iterable[str]) -> str:
    """`one of a, b, c`; of very many names, the first few."""
    listed = alternatives(names)
    return f"one of {listed}" if ", " in listed else listed


def alternatives(names: Iterable[str]) -> str:
    """`a, b, c`; of very many names, the first few and how many more there are."""
    everything: Sequence[str] = tuple(names)
    shown = ", ".join(islice(everything, _MOST_NAMES))
    return f"{shown} and {len(everything) - _MOST_NAMES} more" if len(everything) > _MOST_NAMES else shown
