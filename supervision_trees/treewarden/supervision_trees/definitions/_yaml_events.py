"""The parse events of a YAML text as typed values: the only module that touches ruamel.yaml.

ruamel.yaml's own classes say little about their attributes, so the protocols below state what
is read from them, and nothing else of the library is used: no constructor, hence no code in a
file can make an object. Events come lazily; a reader that stops early pays for no more.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast, final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from treewarden.supervision_trees.definitions._document import Unreadable

__all__ = ["Alias", "Begin", "DocumentStart", "End", "Scalar", "YamlEvent", "yaml_events"]


@final
@dataclass(frozen=True, slots=True)
class DocumentStart:
    """A document begins on `line`."""

    line: int


@final
@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar; `is_plain` if it has neither quotes nor tag, so that its text decides its type."""

    line: int
    text: str
    is_plain: bool
    tag: str | None
    anchor: str | None


@final
@dataclass(frozen=True, slots=True)
class Begin:
    """A list or mapping begins."""

    line: int
    is_mapping: bool
    tag: str | None
    anchor: str | None


@final
@dataclass(frozen=True, slots=True)
class End:
    """The list or mapping that began last ends."""


@final
@dataclass(frozen=True, slots=True)
class Alias:
    """The value anchored as `anchor` stands here too."""

    line: int
    anchor: str


YamlEvent: TypeAlias = DocumentStart | Scalar | Begin | End | Alias


class _Mark(Protocol):
    line: int  # counts from 0


class _Parsed(Protocol):
    start_mark: _Mark
    anchor: str | None
    tag: object
    value: str
    implicit: tuple[bool, bool]


class _Parse(Protocol):
    def __call__(self, text: str, /) -> Iterable[_Parsed]: ...


class _Mistake(Protocol):
    context: str | None
    problem: str | None
    context_mark: _Mark | None
    problem_mark: _Mark | None


def yaml_events(text: str) -> Iterator[YamlEvent]:
    """The events of `text`, in order.

    Raises:
        Unreadable: while iterating, where the text stops being YAML.
    """
    parse = cast("_Parse", YAML(typ="safe", pure=True).parse)  # pyright: ignore[reportUnknownMemberType] - untyped there
    try:
        for parsed in parse(text):
            event = _typed(parsed)
            if event is not None:
                yield event
    except MarkedYAMLError as error:
        raise _unreadable(cast("_Mistake", error)) from error
    except YAMLError as error:
        why = str(error).partition("\n")[0]
        raise Unreadable(0, f"a mistake in the YAML: {why}", "YAML 1.2") from error
    except (ValueError, OverflowError, IndexError, AttributeError, TypeError, AssertionError) as error:
        # The parser's own slips on strange text, such as an escape beyond the last code point.
        raise Unreadable(0, f"text that the YAML parser cannot take ({error!r})", "YAML 1.2") from error


def _typed(parsed: _Parsed) -> YamlEvent | None:
    match type(parsed).__name__:
        case "ScalarEvent":
            return Scalar(_line(parsed), parsed.value, bool(parsed.implicit[0]), _tag(parsed), parsed.anchor)
        case "SequenceStartEvent":
            return Begin(_line(parsed), is_mapping=False, tag=_tag(parsed), anchor=parsed.anchor)
        case "MappingStartEvent":
            return Begin(_line(parsed), is_mapping=True, tag=_tag(parsed), anchor=parsed.anchor)
        case "SequenceEndEvent" | "MappingEndEvent":
            return End()
        case "AliasEvent":
            return Alias(_line(parsed), parsed.anchor or "")
        case "DocumentStartEvent":
            return DocumentStart(_line(parsed))
        case _:
            return None  # the ends of documents and of the stream say nothing new


def _line(parsed: _Parsed) -> int:
    return parsed.start_mark.line + 1


def _tag(parsed: _Parsed) -> str | None:
    return None if parsed.tag is None else str(parsed.tag)


def _unreadable(mistake: _Mistake) -> Unreadable:
    mark = mistake.problem_mark or mistake.context_mark
    why = " ".join(", ".join(part for part in (mistake.context, mistake.problem) if part).split())
    return Unreadable(mark.line + 1 if mark else 0, f"a mistake in the YAML: {why}", "YAML 1.2")
