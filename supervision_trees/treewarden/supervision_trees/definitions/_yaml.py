"""YAML text to a `Document`, built event by event.

A tag such as `!!python/object` is a finding, an alias shares a value and is counted at its full
size (so a "billion laughs" file ends at `MAX_NODES`), and depth is counted, not recursed into.
Plain scalars are resolved by the core schema of YAML 1.2.2 (section 10.3.2): `yes`, `on` and
`2024-01-01` are text. Merge keys (`<<`) belong to YAML 1.1 and are ordinary, unknown keys.
"""

import re
from typing import Final, TypeAlias, final

from treewarden.supervision_trees.definitions._document import (
    MAX_DEPTH,
    MAX_NODES,
    Document,
    Unreadable,
    WrittenFloat,
    WrittenInt,
)
from treewarden.supervision_trees.definitions._mistakes import Finding, Location
from treewarden.supervision_trees.definitions._wording import clipped, described
from treewarden.supervision_trees.definitions._yaml_events import (
    Alias,
    Begin,
    DocumentStart,
    End,
    Scalar,
    YamlEvent,
    yaml_events,
)

__all__ = ["read_yaml"]

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# A number of more than 30 digits is text: nothing in a definition can be that large.
_INT: Final = re.compile(r"[-+]?[0-9]{1,30}")
_LONG_INT: Final = re.compile(r"[-+]?[0-9]{31,}")
_OCTAL: Final = re.compile(r"0o([0-7]{1,30})")
_HEX: Final = re.compile(r"0x([0-9a-fA-F]{1,30})")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read_yaml(text: str) -> Document:
    """Read one YAML document; no document at all is the value null.

    Raises:
        Unreadable: if the text is not YAML, holds several documents, or is too large or too deep.
    """
    builder = _Builder()
    for event in yaml_events(text):
        builder.take(event)
    return Document(builder.root, builder.lines, tuple(builder.findings))


def _resolved(text: str) -> object:
    """The value of a plain scalar (YAML 1.2.2, 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return WrittenInt.read(text, text, 10)
    if match := _OCTAL.fullmatch(text):
        return WrittenInt.read(text, match[1], 8)
    if match := _HEX.fullmatch(text):
        return WrittenInt.read(text, match[1], 16)
    if _FLOAT.fullmatch(text) and not _LONG_INT.fullmatch(text):
        return WrittenFloat(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


_Container: TypeAlias = list[object] | dict[str, object]


@final
class _Open:
    """A list or mapping whose end has not been seen yet."""

    __slots__ = ("anchor", "key", "location", "nodes_before", "value")

    def __init__(self, value: _Container, location: Location, anchor: str | None, nodes_before: int) -> None:
        self.value = value
        self.location = location
        self.anchor = anchor
        self.nodes_before = nodes_before
        self.key: str | None = None  # the key that waits for its value


@final
class _Builder:
    """Takes events one by one; afterwards `root`, `lines` and `findings` are complete."""

    def __init__(self) -> None:
        self.root: object = None
        self.lines: dict[Location, int] = {}
        self.findings: list[Finding] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[object, int]] = {}  # value and its size in nodes
        self._nodes = 0
        self._documents = 0

    def take(self, event: YamlEvent) -> None:
        """Add one event, in the order of the text."""
        match event:
            case DocumentStart(line):
                self._documents += 1
                if self._documents > 1:
                    raise Unreadable(line, "a second YAML document", "one document in a file")
            case End():
                self._close()
            case Alias():
                self._alias(event)
            case Scalar():
                self._scalar(event)
            case Begin():
                self._begin(event)

    def _scalar(self, event: Scalar) -> None:
        value = _resolved(event.text) if event.is_plain else event.text
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        if self._awaits_key():
            self._refuse_tag(event, self._key(value, event.line))
        else:
            self._refuse_tag(event, self._place(value, event.line, nodes=1))

    def _begin(self, event: Begin) -> None:
        if self._awaits_key():
            raise Unreadable(event.line, f"a {'mapping' if event.is_mapping else 'list'} as a key", "text as a key")
        if len(self._open) >= MAX_DEPTH:
            raise Unreadable(event.line, "values nested too deep", f"at most {MAX_DEPTH} levels")
        value: _Container = {} if event.is_mapping else []
        nodes_before = self._nodes
        location = self._place(value, event.line, nodes=1)
        self._refuse_tag(event, location)
        if event.anchor:
            # Until it is complete the anchor means nothing: a value cannot contain itself.
            self._anchors.pop(event.anchor, None)
        self._open.append(_Open(value, location, event.anchor, nodes_before))

    def _close(self) -> None:
        done = self._open.pop()
        if done.anchor:
            self._anchors[done.anchor] = (done.value, self._nodes - done.nodes_before)

    def _alias(self, event: Alias) -> None:
        if event.anchor not in self._anchors:
            raise Unreadable(
                event.line,
                f"the alias *{event.anchor}",
                f"an anchor &{event.anchor} that is complete before it is used",
            )
        value, nodes = self._anchors[event.anchor]
        if self._awaits_key():
            self._key(value, event.line)
        else:
            self._place(value, event.line, nodes=nodes)

    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _key(self, value: object, line: int) -> Location:
        """Take a key; of a key that comes twice the first value is kept."""
        parent = self._open[-1]
        assert isinstance(parent.value, dict)
        key = value if isinstance(value, str) else str(getattr(value, "text", described(value)))
        location = (*parent.location, key)
        if not isinstance(value, str):
            self.findings.append(Finding(location, f"the key {key}, which is no text", f"it in quotes: '{key}'"))
        if key in parent.value:
            first = self.lines[location]
            self.findings.append(Finding(location, f"the key again on line {line}", f"it once (line {first} has it)"))
        self.lines.setdefault(location, line)
        parent.key = key
        return location

    def _place(self, value: object, line: int, *, nodes: int) -> Location:
        """Put `value`, which counts for `nodes`, where it belongs, and answer where that is."""
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise Unreadable(line, f"more than {MAX_NODES} values, aliases counted in full", "a tree of ordinary size")
        if not self._open:
            self.root = value
            self.lines[()] = line
            return ()
        parent = self._open[-1]
        if isinstance(parent.value, dict):
            assert parent.key is not None
            location: Location = (*parent.location, parent.key)
            parent.value.setdefault(parent.key, value)
            parent.key = None
        else:
            location = (*parent.location, len(parent.value))
            self.lines[location] = line
            parent.value.append(value)
        return location

    def _refuse_tag(self, event: Scalar | Begin, location: Location) -> None:
        if event.tag is not None:
            self.findings.append(Finding(location, f"the tag {clipped(event.tag)}", "a plain value without a tag"))
