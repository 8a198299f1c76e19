"""The file format: one pydantic model per mapping, with every field it may hold.

The models check each field by itself; what concerns several fields or several children is in
`_checks` and `_surroundings`. They also become the published JSON Schema (`_json_schema`). Keys
that this version cannot act on (a lease, a `ttl`, a log's size) are unknown keys: nothing is
accepted and ignored.

Durations stand here as seconds, with their defaults in the file's spelling, so that the
published schema shows `5s`.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from treewarden.actors import CHILD_ID_RULE, ChildId
from treewarden.actors.processes import EnvValue
from treewarden.supervision_trees.definitions._durations import DURATION_RULE
from treewarden.supervision_trees.definitions._fields import (
    AutoShutdownType,
    ClassPath,
    Duration,
    EnvEntry,
    EnvName,
    ExitCode,
    Factor,
    FailureCount,
    Fraction,
    HttpStatus,
    Id,
    Port,
    PositiveDuration,
    RestartCount,
    RestartType,
    Shutdown,
    StartTimeout,
    StrategyType,
    Text,
    Version,
    broken,
    rule,
)

__all__ = [
    "KNOWN_KEYS",
    "REQUIRED",
    "TREE",
    "UNION_TAGS",
    "ActorFields",
    "BackoffFields",
    "Child",
    "ChildFields",
    "IntensityFields",
    "LiveFields",
    "ProbeFields",
    "ProcessFields",
    "ReadyFields",
    "SupervisorFields",
    "TreeFields",
]

_KIND_RULE: Final = "one of process, supervisor, actor"
_COMMAND_RULE: Final = "a list such as [python3, -m, http.server], or text together with shell: true"

REQUIRED: Final[Mapping[str, str]] = {
    "version": "1, the version of this format",
    "name": f"a name for the tree: {CHILD_ID_RULE}",
    "id": f"an id: {CHILD_ID_RULE}",
    "kind": _KIND_RULE,
    "command": _COMMAND_RULE,
    "class": 'an actor class as "module:Name"',
}
"""The keys that must be there, each with what would be right."""


class _Fields(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class IntensityFields(_Fields):
    """How many restarts are too many."""

    restarts: RestartCount = Field(default=3, description="Restarts allowed within the window; one more is too many.")
    within: PositiveDuration = Field(default="5s", validate_default=True, description="The window.")


def _usual_intensity() -> IntensityFields:
    return IntensityFields()


class BackoffFields(_Fields):
    """How long to wait before each restart in a row."""

    initial: Duration = Field(default="200ms", validate_default=True, description="The wait before the first restart.")
    max: Duration = Field(default="30s", validate_default=True, description="The longest wait; not below initial.")
    factor: Factor = Field(default=2.0, description="What each wait is multiplied by to get the next.")
    jitter: Fraction = Field(default=0.2, description="Spreads each wait by up to this part of itself.")
    reset_after: Annotated[PositiveDuration | None, rule(DURATION_RULE)] = Field(
        default=None, description="A child up for so long begins at initial again. Without it: max, but at least 10s."
    )


class ProbeFields(_Fields):
    """A check: exactly one of http, tcp and command."""

    http: Annotated[Text | None, rule("a URL")] = Field(
        default=None, description="A URL; passes when GET answers with status."
    )
    status: Annotated[HttpStatus | None, rule("an HTTP status")] = Field(
        default=None, description="The status http expects. Without it: 200."
    )
    tcp: Annotated[Text | None, rule('"host:port"')] = Field(
        default=None, description='"host:port"; passes when it accepts a connection.'
    )
    command: Annotated[list[Text] | None, rule("a list such as [test, -e, /tmp/ready]")] = Field(
        default=None, min_length=1, description="An argument list; passes when it exits 0."
    )
    every: PositiveDuration = Field(default="1s", validate_default=True, description="The time between two checks.")
    timeout: PositiveDuration = Field(default="2s", validate_default=True, description="The time one check may take.")


class ReadyFields(ProbeFields):
    """The check that gates the start."""

    within: PositiveDuration = Field(
        default="60s", validate_default=True, description="The time to become ready in all."
    )


class LiveFields(ProbeFields):
    """The check that runs from then on."""

    failures: FailureCount = Field(default=3, description="Failures in a row that make the process unresponsive.")


_Intensity: TypeAlias = Annotated[IntensityFields | None, rule("a mapping such as {restarts: 3, within: 5s}")]
_GroupIntensity: TypeAlias = Annotated[IntensityFields, rule("a mapping such as {restarts: 3, within: 5s}")]


class ChildFields(_Fields):
    """What every child has."""

    id: Id = Field(description="The child's name among its siblings.")
    restart: RestartType = Field(
        default="permanent", validate_default=True, description="When a child that ended by itself is started again."
    )
    significant: Annotated[bool, rule("true or false")] = Field(
        default=False, description="Whether its end may end its supervisor, as auto_shutdown there says."
    )
    needs: Annotated[list[Id], rule("a list of sibling ids")] = Field(
        default_factory=list[ChildId], description="Siblings that must be ready before this child starts."
    )
    backoff: Annotated[BackoffFields | None, rule("a mapping such as {initial: 200ms, max: 30s}")] = Field(
        default=None, description="The waits before restarts. Without it: none."
    )


class _LeafFields(ChildFields):
    shutdown: Shutdown = Field(default="5s", validate_default=True, description="The time a stop may take.")
    start_timeout: StartTimeout = Field(default="30s", validate_default=True, description="The time a start may take.")
    intensity: _Intensity = Field(
        default=None,
        description="The child's own limit of restarts. Without it: its restarts count for the supervisor.",
    )


class ProcessFields(_LeafFields):
    """An OS process."""

    kind: Annotated[Literal["process"], rule(_KIND_RULE)]
    command: Annotated[
        Annotated[Text, Tag("<line>")] | Annotated[list[Text], Field(min_length=1), rule(_COMMAND_RULE), Tag("<argv>")],
        Discriminator(lambda value: "<line>" if isinstance(value, str) else "<argv>"),
    ] = Field(description="The program and its arguments; with shell: true, a line for /bin/sh.")
    shell: Annotated[bool, rule("true or false")] = Field(default=False, description="Run command as /bin/sh -c.")
    cwd: Text = Field(default=".", description="The working directory; a relative one begins at the file's folder.")
    env: Annotated[dict[EnvName, EnvEntry], rule("a mapping of variables")] = Field(
        default_factory=dict[str, EnvValue],
        description="Variables over a minimal environment: text, a number or {from_env: NAME}.",
    )
    ports: Annotated[list[Port], rule("a list of ports")] = Field(
        default_factory=list[int], description="TCP ports the process listens on; shown, not reserved."
    )
    ready: Annotated[ReadyFields | None, rule('a mapping such as {tcp: "127.0.0.1:8000"}')] = Field(
        default=None, description="The check that gates the start. Without it: ready as soon as it runs."
    )
    live: Annotated[LiveFields | None, rule('a mapping such as {tcp: "127.0.0.1:8000"}')] = Field(
        default=None, description="The check that runs from then on. Without it: none."
    )
    success_codes: Annotated[list[ExitCode], rule("a list of exit codes")] = Field(
        default_factory=lambda: [0], description="Exit codes that are a normal end. Without it: 0."
    )


class ActorFields(_LeafFields):
    """An actor class of the user's own."""

    kind: Annotated[Literal["actor"], rule(_KIND_RULE)]
    class_path: ClassPath = Field(alias="class", description='The class, as "module:Name".')
    args: Annotated[dict[str, object], rule("a mapping of keyword arguments")] = Field(
        default_factory=dict[str, object], description="Keyword arguments of the class."
    )


class SupervisorFields(ChildFields):
    """A supervisor and its children."""

    kind: Annotated[Literal["supervisor"], rule(_KIND_RULE)]
    strategy: StrategyType = Field(
        default="one_for_one", validate_default=True, description="Which children a failure concerns."
    )
    intensity: _GroupIntensity = Field(
        default_factory=_usual_intensity, description="The limit of restarts it keeps for its children."
    )
    auto_shutdown: AutoShutdownType = Field(
        default="never", validate_default=True, description="Whether the end of significant children ends it."
    )
    shutdown: Shutdown = Field(
        default="infinity",
        validate_default=True,
        description="The time a stop may take, its children's stops included.",
    )
    start_timeout: StartTimeout = Field(
        default="infinity", validate_default=True, description="The time a start may take."
    )
    children: "_Children" = Field(
        default_factory=list["Child"], description="Its children, in the order of their start."
    )


class _UnknownChild(ChildFields):
    """A child whose kind is missing or wrong: only what all kinds share can be checked."""

    model_config = ConfigDict(extra="ignore")

    kind: Annotated[Literal["process", "supervisor", "actor"], rule(_KIND_RULE)]


UNION_TAGS: Final = frozenset({"<line>", "<argv>", "<process>", "<actor>", "<supervisor>"})
"""What pydantic inserts into an error's location to name the member of a union."""

_UNKNOWN_CHILD: Final = TypeAdapter(_UnknownChild)
_SIGNS: Final = (("command", "<process>"), ("class", "<actor>"), ("children", "<supervisor>"))


def _tag_of(value: object) -> str | None:
    """The kind of a child, or, when that is missing or wrong, the kind its other keys speak for."""
    if not isinstance(value, dict):
        return None
    keys = cast("dict[str, object]", value)
    kind = keys.get("kind")
    if kind in ("process", "actor", "supervisor"):
        return f"<{kind}>"
    return next((tag for sign, tag in _SIGNS if sign in keys), None)


def _known_kind(value: object, inner: ValidatorFunctionWrapHandler) -> object:
    if not isinstance(value, dict):
        raise broken("a mapping with id and kind")
    # Of an unknown kind this always raises, saying so and what else can be said.
    return cast(
        "object", _UNKNOWN_CHILD.validate_python(value) if _tag_of(cast("object", value)) is None else inner(value)
    )


Child: TypeAlias = ProcessFields | ActorFields | SupervisorFields

_Child: TypeAlias = Annotated[
    Annotated[ProcessFields, Tag("<process>")]
    | Annotated[ActorFields, Tag("<actor>")]
    | Annotated[SupervisorFields, Tag("<supervisor>")],
    Discriminator(_tag_of),
    WrapValidator(_known_kind),
]
_Children: TypeAlias = Annotated[list[_Child], rule("a list of children")]


class TreeFields(_Fields):
    """A whole file: the root supervisor."""

    version: Version = Field(description="The version of this format.")
    name: Id = Field(description="The tree's name; the root's path is /NAME.")
    strategy: StrategyType = Field(
        default="one_for_one", validate_default=True, description="Which children a failure concerns."
    )
    intensity: _GroupIntensity = Field(
        default_factory=_usual_intensity, description="The limit of restarts the root keeps for its children."
    )
    auto_shutdown: AutoShutdownType = Field(
        default="never", validate_default=True, description="Whether the end of significant children ends the tree."
    )
    children: _Children = Field(
        default_factory=list[Child], description="The root's children, in the order of their start."
    )


SupervisorFields.model_rebuild()

TREE: Final[TypeAdapter[TreeFields]] = TypeAdapter(
    Annotated[TreeFields, rule("a mapping with version, name and children")]
)


def _keys(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


KNOWN_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "": _keys(TreeFields),
    "<process>": _keys(ProcessFields),
    "<actor>": _keys(ActorFields),
    "<supervisor>": _keys(SupervisorFields),
    "intensity": _keys(IntensityFields),
    "backoff": _keys(BackoffFields),
    "ready": _keys(ReadyFields),
    "live": _keys(LiveFields),
}
"""The keys of each mapping, by the last part of an error's location that names one."""
