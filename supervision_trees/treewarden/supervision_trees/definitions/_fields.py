"""The types of single fields: what is accepted, in words, and the value it becomes.

Every type says its own rule when it is broken, so no wording of pydantic's reaches a user. An
explicit null is refused everywhere: a field that is not wanted is left out.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Final, TypeVar, cast

from pydantic import Field, PlainValidator, ValidationError, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator
from pydantic_core import PydanticCustomError

from treewarden.actors import BRUTAL_KILL, CHILD_ID_RULE, INFINITY, ChildId, FromEnv, Restart, ShutdownTime, is_child_id
from treewarden.actors.processes import EnvValue
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy
from treewarden.supervision_trees.definitions._document import WrittenFloat, WrittenInt
from treewarden.supervision_trees.definitions._durations import DURATION_PATTERN, DURATION_RULE, parse_duration
from treewarden.supervision_trees.definitions._wording import described

__all__ = [
    "RULE_BROKEN",
    "AutoShutdownType",
    "ClassPath",
    "Duration",
    "EnvEntry",
    "EnvName",
    "ExitCode",
    "Factor",
    "FailureCount",
    "Fraction",
    "HttpStatus",
    "Id",
    "Port",
    "PositiveDuration",
    "RestartCount",
    "RestartType",
    "Shutdown",
    "StartTimeout",
    "StrategyType",
    "Text",
    "Version",
    "broken",
    "rule",
]

RULE_BROKEN: Final = "rule_broken"
"""The pydantic error type of all our rules; the rule's words are in `ctx["expected"]`."""

_CLASS_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_NOT_FOR_EXEC: Final = re.compile("[\0\ud800-\udfff]")
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def broken(expected: str) -> PydanticCustomError:
    """The error of a field that is not what `expected` says."""
    return PydanticCustomError(RULE_BROKEN, "expected {expected}", {"expected": expected})


def rule(expected: str) -> WrapValidator:
    """Say `expected` when the value itself is wrong or null; what is wrong inside it speaks for itself."""

    def check(value: object, inner: ValidatorFunctionWrapHandler) -> object:
        if value is None:
            raise broken(expected)
        try:
            return cast("object", inner(value))
        except ValidationError as error:
            details = error.errors(include_url=False)
            if any(not detail["loc"] and detail["type"] != RULE_BROKEN for detail in details):
                raise broken(expected) from None
            raise

    return WrapValidator(check)


def _text(value: object) -> str:
    _refuse_number(value)
    if not isinstance(value, str):
        raise broken("text")
    if _NOT_FOR_EXEC.search(value):
        raise broken("text that the system can take: no NUL character, no lone surrogate")
    return value


def _refuse_number(value: object) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise broken(f'text; write a number in quotes: "{_written(value)}"')


def _written(number: float) -> str:
    """A number as the file spells it, so that `3.10` stays `3.10`."""
    return number.text if isinstance(number, WrittenInt | WrittenFloat) else described(number)


def _version(value: object) -> int:
    # Not a Literal: to Python, and so to pydantic, true and 1.0 are 1.
    if not isinstance(value, int) or isinstance(value, bool) or value != 1:
        raise broken("1, the only version of this format")
    return 1


def _id(value: object) -> ChildId:
    _refuse_number(value)
    if not isinstance(value, str) or not is_child_id(value):
        raise broken(CHILD_ID_RULE)
    return ChildId(value)


def _class_path(value: object) -> str:
    if not isinstance(value, str) or not _CLASS_PATH.fullmatch(value):
        raise broken('an actor class as "module:Name"')
    return value


_Named = TypeVar("_Named", bound=Enum)


def _one_of(members: type[_Named]) -> Callable[[object], _Named]:
    """What reads a member of an enum by its value."""

    def read(value: object) -> _Named:
        for member in members:
            if value == member.value:
                return member
        raise broken("one of " + ", ".join(_values(members)))

    return read


def _values(members: type[Enum]) -> list[str]:
    return [str(member.value) for member in members]


def _seconds(value: object, *, expected: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise broken(f"{expected}; a bare number has no unit")
    if not isinstance(value, str):
        raise broken(expected)
    try:
        return parse_duration(value)
    except ValueError as error:
        # The parser's own words only where they say more than the rule does.
        raise broken(expected if str(error) == DURATION_RULE else str(error)) from error


def _duration(value: object) -> float:
    return _seconds(value, expected=DURATION_RULE)


def _positive(value: object) -> float:
    expected = f"{DURATION_RULE}, above 0"
    seconds = _seconds(value, expected=expected)
    if seconds <= 0:
        raise broken(expected)
    return seconds


def _shutdown(value: object) -> ShutdownTime:
    match value:
        case "infinity":
            return INFINITY
        case "brutal_kill":
            return BRUTAL_KILL
        case _:
            return _seconds(value, expected=f"{DURATION_RULE}, infinity or brutal_kill")


def _start_timeout(value: object) -> float:
    expected = f"{DURATION_RULE}, above 0, or infinity"
    if value == "infinity":
        return INFINITY
    seconds = _seconds(value, expected=expected)
    if seconds <= 0:
        raise broken(expected)
    return seconds


def _env_name(value: object) -> str:
    if not isinstance(value, str) or not _ENV_NAME.fullmatch(value):
        raise broken("a variable's name: letters, digits and _, not beginning with a digit")
    return value


def _env_entry(value: object) -> EnvValue:
    expected = "text, a number or {from_env: NAME}"
    match value:
        case bool():
            raise broken(f'{expected}; write a word in quotes: "{described(value)}"')
        case int() | float():
            return _written(value)
        case str():
            return _text(value)
        case {"from_env": str(name)} if len(cast("dict[str, object]", value)) == 1 and _ENV_NAME.fullmatch(name):
            return FromEnv(name)
        case _:
            raise broken(expected)


def _schema(**keywords: object) -> WithJsonSchema:
    return WithJsonSchema(dict(keywords))


_CLASS_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"
_DURATION_JSON: Final = {"type": "string", "pattern": DURATION_PATTERN}
_DURATION_SCHEMA: Final = WithJsonSchema(_DURATION_JSON)

Version = Annotated[int, PlainValidator(_version), _schema(const=1)]
Text = Annotated[str, PlainValidator(_text), _schema(type="string")]
Id = Annotated[ChildId, PlainValidator(_id), _schema(type="string", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
ClassPath = Annotated[str, PlainValidator(_class_path), _schema(type="string", pattern=_CLASS_PATTERN)]
RestartType = Annotated[Restart, PlainValidator(_one_of(Restart)), _schema(enum=_values(Restart))]
StrategyType = Annotated[Strategy, PlainValidator(_one_of(Strategy)), _schema(enum=_values(Strategy))]
AutoShutdownType = Annotated[AutoShutdown, PlainValidator(_one_of(AutoShutdown)), _schema(enum=_values(AutoShutdown))]
Duration = Annotated[float, PlainValidator(_duration), _DURATION_SCHEMA]
PositiveDuration = Annotated[float, PlainValidator(_positive), _DURATION_SCHEMA]
Shutdown = Annotated[
    ShutdownTime,
    PlainValidator(_shutdown),
    _schema(anyOf=[_DURATION_JSON, {"enum": ["infinity", "brutal_kill"]}]),
]
StartTimeout = Annotated[float, PlainValidator(_start_timeout), _schema(anyOf=[_DURATION_JSON, {"const": "infinity"}])]
EnvName = Annotated[str, PlainValidator(_env_name), _schema(type="string", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
EnvEntry = Annotated[
    EnvValue,
    PlainValidator(_env_entry),
    _schema(
        anyOf=[
            {"type": ["string", "number"]},
            {
                "type": "object",
                "properties": {"from_env": {"type": "string"}},
                "required": ["from_env"],
                "additionalProperties": False,
            },
        ]
    ),
]
Port = Annotated[int, Field(ge=1, le=65_535), rule("a port: a whole number from 1 to 65535")]
ExitCode = Annotated[int, Field(ge=0, le=255), rule("an exit code: a whole number from 0 to 255")]
HttpStatus = Annotated[int, Field(ge=100, le=599), rule("an HTTP status: a whole number from 100 to 599")]
RestartCount = Annotated[int, Field(ge=0, le=1_000_000), rule("a whole number from 0 to 1000000")]
FailureCount = Annotated[int, Field(ge=1, le=1_000_000), rule("a whole number from 1 to 1000000")]
Factor = Annotated[float, Field(ge=1, le=1_000_000, allow_inf_nan=False), rule("a number from 1 to 1000000")]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), rule("a fraction from 0 to 1")]
