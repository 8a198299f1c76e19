"""TOML text to a `Document`: `tomllib` reads the values, a scan of the statements finds their lines.

`tomllib` keeps no positions. Each header (`[[children]]`) and each `key = value` at the start of
a statement gets its line; a value inside an inline table or array answers with the line of its
statement. The scan runs over text that `tomllib` has accepted, so it may be simple.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Final, cast

from treewarden.supervision_trees.definitions._document import MAX_DEPTH, MAX_NODES, Document, Unreadable, WrittenFloat
from treewarden.supervision_trees.definitions._mistakes import Location

__all__ = ["read_toml"]

_POSITION: Final = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)
# Longest first: a multi-line string also begins like an ordinary one.
_TOKEN: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|\n|[\[\]{}=.]|[^\s\[\]{}=.#"\']+',
    re.DOTALL,
)


def read_toml(text: str) -> Document:
    """Read a TOML document.

    Raises:
        Unreadable: if the text is not TOML 1.0, or is too large or too deep.
    """
    try:
        data = tomllib.loads(text, parse_float=WrittenFloat)
    except tomllib.TOMLDecodeError as error:
        position = _POSITION.fullmatch(str(error))
        why, line = (position[1], int(position[2] or 0)) if position else (str(error), 0)
        raise Unreadable(line, f"a mistake in the TOML: {why}", "TOML 1.0") from error
    except RecursionError as error:
        raise Unreadable(0, "values nested too deep to read", f"at most {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise Unreadable(0, f"a value that cannot be read ({error})", "values of ordinary size") from error
    _refuse_excess(data)
    return Document(data, _lines(text))


def _refuse_excess(data: object) -> None:
    pending: list[tuple[object, int]] = [(data, 0)]
    nodes = 0
    while pending:
        value, depth = pending.pop()
        nodes += 1
        if depth > MAX_DEPTH:
            raise Unreadable(0, "values nested too deep", f"at most {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            raise Unreadable(0, f"more than {MAX_NODES} values", "a tree of ordinary size")
        if isinstance(value, dict):
            pending.extend((item, depth + 1) for item in cast("dict[str, object]", value).values())
        elif isinstance(value, list):
            pending.extend((item, depth + 1) for item in cast("list[object]", value))


def _lines(text: str) -> dict[Location, int]:
    lines: dict[Location, int] = {(): 1}
    counts: dict[Location, int] = {}  # how many times each [[array]] was opened
    table: Location = ()
    for line, tokens in _statements(text):
        if tokens[0] == "[":
            is_array = tokens[1] == "["
            table = _current(_dotted(tokens[2:-2] if is_array else tokens[1:-1]), counts, opens=is_array)
            lines.setdefault(table, line)
        else:
            location = table + _dotted(tokens[: tokens.index("=")])
            for end in range(len(table) + 1, len(location) + 1):
                lines.setdefault(location[:end], line)
    return lines


def _current(keys: tuple[str, ...], counts: dict[Location, int], *, opens: bool) -> Location:
    """Where the header `keys` points: below the newest item of each array of tables on the way."""
    location: Location = ()
    for depth, key in enumerate(keys, start=1):
        location += (key,)
        if opens and depth == len(keys):
            counts[location] = counts.get(location, 0) + 1
        if location in counts:
            location += (counts[location] - 1,)
    return location


def _dotted(tokens: list[str]) -> tuple[str, ...]:
    return tuple(_unquoted(part) for part in tokens if part != ".")


def _unquoted(part: str) -> str:
    match part[0]:
        case '"':
            return str(tomllib.loads(f"key = {part}")["key"])
        case "'":
            return part[1:-1]
        case _:
            return part


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each statement's first line and its tokens; line ends inside brackets do not end a statement."""
    line, started, depth = 1, 1, 0
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.startswith("\n"):
            line += 1
            if tokens and depth == 0:
                yield started, tokens
                tokens = []
            continue
        if token.startswith("#"):
            continue
        if not tokens:
            started = line
        tokens.append(token)
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        line += token.count("\n")
    if tokens:
        yield started, tokens
