"""JSON text to a `Document`: the standard library reads the values, a scan of the tokens finds the lines.

ruamel.yaml could read JSON as YAML, but not all of it: tabs between tokens and surrogate pairs
in escapes are legal JSON and fail there. The scan runs over text that `json` has accepted, so it
may be simple.
"""

import json
import re
from typing import Final, NoReturn, final

from treewarden.supervision_trees.definitions._document import MAX_DEPTH, MAX_NODES, Document, Unreadable, WrittenFloat
from treewarden.supervision_trees.definitions._mistakes import Finding, Location

__all__ = ["read_json"]

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+|\n')


def read_json(text: str) -> Document:
    """Read one JSON value.

    Raises:
        Unreadable: if the text is not JSON (RFC 8259), or is too large or too deep.
    """
    try:
        data: object = json.loads(text, parse_float=WrittenFloat, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        why = f"a mistake in the JSON: {error.msg} (column {error.colno})"
        raise Unreadable(error.lineno, why, "JSON (RFC 8259)") from error
    except RecursionError as error:
        raise Unreadable(0, "values nested too deep to read", f"at most {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise Unreadable(0, f"a number that cannot be read ({error})", "numbers as in RFC 8259, section 6") from error
    scan = _Scan()
    for match in _TOKEN.finditer(text):
        scan.take(match[0])
    return Document(data, scan.lines, tuple(scan.findings))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


@final
class _Scan:
    """Takes the tokens of valid JSON one by one and notes the line of each key and value."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {(): 1}
        self.findings: list[Finding] = []
        self._line = 1
        self._nodes = 0
        # One entry for each open bracket: the index of the next item, or the last key. Together
        # they are the location of the value that comes next.
        self._steps: list[str | int] = []
        self._keys: list[set[str]] = []
        self._awaits_key = False

    def take(self, token: str) -> None:
        """Add one token, in the order of the text."""
        match token:
            case "\n":
                self._line += 1
            case "{" | "[":
                self._open(token)
            case "}" | "]":
                self._steps.pop()
                self._keys.pop()
                self._awaits_key = False
            case ",":
                last = self._steps[-1]
                self._awaits_key = isinstance(last, str)
                self._steps[-1] = last if isinstance(last, str) else last + 1
            case ":":
                self._awaits_key = False
            case _ if self._awaits_key:
                self._key(str(json.loads(token)))
            case _:
                self._value()

    def _open(self, bracket: str) -> None:
        self._value()
        if len(self._steps) >= MAX_DEPTH:
            raise Unreadable(self._line, "values nested too deep", f"at most {MAX_DEPTH} levels")
        self._awaits_key = bracket == "{"
        self._steps.append("" if self._awaits_key else 0)
        self._keys.append(set())

    def _key(self, key: str) -> None:
        self._steps[-1] = key
        location = tuple(self._steps)
        first = self.lines.setdefault(location, self._line)
        if key in self._keys[-1]:
            again = f"the key again on line {self._line}"
            self.findings.append(Finding(location, again, f"it once (line {first} has it)"))
        self._keys[-1].add(key)

    def _value(self) -> None:
        self.lines.setdefault(tuple(self._steps), self._line)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Unreadable(self._line, f"more than {MAX_NODES} values", "a tree of ordinary size")
