"""Commands and their answers as plain msgpack maps, by closed tables.

A command is `{"command": kind, **fields}`. An answer is `{"result": kind, "value": ...}` or
`{"error": kind, "message": text}`. Kinds that are in no table are refused, and so are unknown
fields of a command. Unknown fields of an answer are let pass, so that an older client can read a
newer runtime's views. Pure; lists and tuples become tuples where a view has one, and lists
inside the fields of an event.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias, assert_never, final

from treewarden.supervision_trees._control import (
    ApplyReport,
    ApplyTree,
    CheckpointDocument,
    Command,
    CrashesRead,
    CreateCheckpoint,
    DiffCheckpoints,
    DiscardState,
    EventPick,
    EventsRead,
    Inspect,
    ListCheckpoints,
    LogRead,
    PlannedStep,
    PlanTree,
    PruneCheckpoints,
    ReadCrashes,
    ReadEvents,
    ReadLog,
    RestartActor,
    RestoreCheckpoint,
    ShowCheckpoint,
    StartActor,
    StopActor,
    StopTree,
    TreePlan,
)
from treewarden.supervision_trees._inspect import ActorView, CrashView, TreeView
from treewarden.supervision_trees.console._fields import Fields, WireError

__all__ = [
    "LONGEST_WAIT",
    "Answer",
    "ErrorKind",
    "Failure",
    "Result",
    "answer_from_plain",
    "answer_to_plain",
    "command_from_plain",
    "command_to_plain",
]

LONGEST_WAIT: Final = 30.0  # seconds that one `ReadEvents` may hold a thread of the server
LONGEST_CUT: Final = 60.0  # seconds that actors may be made to stand still for a checkpoint
_MOST_EVENTS: Final = 100_000
_MOST_LINES: Final = 100_000

Result: TypeAlias = (
    TreeView | ActorView | EventsRead | CrashesRead | LogRead | TreePlan | ApplyReport | CheckpointDocument | None
)


class ErrorKind(Enum):
    """Why there is no result."""

    REFUSED = "refused"  # the runtime says no; nothing was done
    BUSY = "busy"  # too many connections; nothing was done
    NOT_ALLOWED = "not-allowed"  # another user's process; nothing was done
    PROTOCOL = "protocol"  # what was sent is no command; nothing was done
    TOO_LARGE = "too-large"  # it was done, but the answer fits in no frame
    FAILED = "failed"  # an unexpected error; what was done is not known


@final
@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is not a result."""

    kind: ErrorKind
    message: str


Answer: TypeAlias = Result | Failure


def command_to_plain(command: Command) -> dict[str, object]:
    """`command` as a map that `command_from_plain` reads back."""
    match command:
        case Inspect():
            return {"command": "inspect"}
        case StopTree():
            return {"command": "down"}
        case StartActor(path):
            return {"command": "start", "path": path}
        case StopActor(path):
            return {"command": "stop", "path": path}
        case RestartActor(path):
            return {"command": "restart", "path": path}
        case DiscardState(path):
            return {"command": "discard-state", "path": path}
        case ReadEvents(since, limit, wait, since_time, pick):
            return {
                "command": "read-events",
                "since": since,
                "limit": limit,
                "wait": wait,
                "since_time": since_time,
                "pick": pick.value,
            }
        case ReadCrashes(path):
            return {"command": "read-crashes", "path": path}
        case ReadLog(path, lines, offset):
            return {"command": "read-log", "path": path, "lines": lines, "offset": offset}
        case PlanTree(text, source):
            return {"command": "plan", "text": text, "source": source}
        case ApplyTree(text, source, plan):
            return {"command": "apply", "text": text, "source": source, "plan": plan}
        case CreateCheckpoint(path, within, durable):
            return {"command": "create-checkpoint", "path": path, "within": within, "durable": dict(durable)}
        case ListCheckpoints(path):
            return {"command": "list-checkpoints", "path": path}
        case ShowCheckpoint(number):
            return {"command": "show-checkpoint", "number": number}
        case DiffCheckpoints(earlier, later):
            return {"command": "diff-checkpoints", "earlier": earlier, "later": later}
        case RestoreCheckpoint(path, number):
            return {"command": "restore-checkpoint", "path": path, "number": number}
        case PruneCheckpoints(older_than):
            return {"command": "prune-checkpoints", "older_than": older_than}
        case _:
            assert_never(command)


def command_from_plain(plain: Mapping[str, object]) -> Command:
    """The command that `plain` spells.

    Raises:
        WireError: if its kind or a field is unknown, missing, of the wrong type or out of bounds.
    """
    kind = Fields("command", plain).text("command")
    read = _COMMANDS.get(kind)
    if read is None:
        raise WireError(f"command: found the unknown kind {kind!r}, expected one of {', '.join(_COMMANDS)}")
    return read(Fields(kind, plain))


def answer_to_plain(answer: Answer) -> dict[str, object]:
    """`answer` as a map that `answer_from_plain` reads back."""
    match answer:
        case None:
            return {"result": "none", "value": None}
        case TreeView():
            return {"result": "tree", "value": answer.to_json()}
        case ActorView():
            return {"result": "actor", "value": answer.to_json()}
        case EventsRead(events, last, missed):
            return {"result": "events", "value": {"events": events, "last": last, "missed": missed}}
        case CrashesRead(crashes):
            return {"result": "crashes", "value": {"crashes": [crash.to_json() for crash in crashes]}}
        case LogRead(text, next_offset):
            return {"result": "log", "value": {"text": text, "next_offset": next_offset}}
        case TreePlan():
            return {"result": "plan", "value": answer.to_json()}
        case ApplyReport():
            return {"result": "applied", "value": answer.to_json()}
        case CheckpointDocument(found):
            return {"result": "checkpoint", "value": {"fields": found}}
        case Failure(kind, message):
            return {"error": kind.value, "message": message}
        case _:
            assert_never(answer)


def answer_from_plain(plain: Mapping[str, object]) -> Answer:
    """The answer that `plain` spells.

    Raises:
        WireError: if its kind is unknown, or a field is missing or of the wrong type.
    """
    fields = Fields("answer", plain)
    if "error" in plain:
        try:
            kind = ErrorKind(fields.text("error"))
        except ValueError as error:
            raise WireError(f"answer.error: {error}") from error
        return Failure(kind, fields.text("message"))
    result = fields.text("result")
    read = _RESULTS.get(result)
    if read is None:
        raise WireError(f"answer: found the unknown kind {result!r}, expected one of {', '.join(_RESULTS)}")
    return read(fields.value("value"))


def _read_inspect(fields: Fields) -> Inspect:
    fields.only("command")
    return Inspect()


def _read_down(fields: Fields) -> StopTree:
    fields.only("command")
    return StopTree()


def _read_path(fields: Fields) -> str:
    fields.only("command", "path")
    return fields.text("path")


def _read_read_events(fields: Fields) -> ReadEvents:
    fields.only("command", "since", "limit", "wait", "since_time", "pick")
    return ReadEvents(
        since=fields.integer("since", least=0),
        limit=fields.integer("limit", least=1, most=_MOST_EVENTS),
        wait=fields.number("wait", least=0.0, most=LONGEST_WAIT),
        since_time=fields.number_or_none("since_time"),
        pick=_read_pick(fields.text("pick")),
    )


def _read_pick(text: str) -> EventPick:
    try:
        return EventPick(text)
    except ValueError:
        picks = ", ".join(pick.value for pick in EventPick)
        raise WireError(f"read-events.pick: found {text!r}, expected one of {picks}") from None


def _read_read_log(fields: Fields) -> ReadLog:
    fields.only("command", "path", "lines", "offset")
    return ReadLog(
        path=fields.text("path"),
        lines=fields.integer("lines", least=0, most=_MOST_LINES),
        offset=fields.integer_or_none("offset", least=0),
    )


def _read_plan_tree(fields: Fields) -> PlanTree:
    fields.only("command", "text", "source")
    return PlanTree(fields.text("text"), fields.text("source"))


def _read_apply_tree(fields: Fields) -> ApplyTree:
    fields.only("command", "text", "source", "plan")
    return ApplyTree(fields.text("text"), fields.text("source"), fields.text_or_none("plan"))


def _read_create_checkpoint(fields: Fields) -> CreateCheckpoint:
    fields.only("command", "path", "within", "durable")
    within = fields.number("within", least=0.0, most=LONGEST_CUT)
    return CreateCheckpoint(fields.text("path"), within, fields.map("durable"))


def _read_list_checkpoints(fields: Fields) -> ListCheckpoints:
    fields.only("command", "path")
    return ListCheckpoints(fields.text_or_none("path"))


def _read_show_checkpoint(fields: Fields) -> ShowCheckpoint:
    fields.only("command", "number")
    return ShowCheckpoint(fields.integer("number", least=1))


def _read_diff_checkpoints(fields: Fields) -> DiffCheckpoints:
    fields.only("command", "earlier", "later")
    return DiffCheckpoints(fields.integer("earlier", least=1), fields.integer("later", least=1))


def _read_restore_checkpoint(fields: Fields) -> RestoreCheckpoint:
    fields.only("command", "path", "number")
    return RestoreCheckpoint(fields.text("path"), fields.integer_or_none("number", least=1))


def _read_prune_checkpoints(fields: Fields) -> PruneCheckpoints:
    fields.only("command", "older_than")
    return PruneCheckpoints(fields.number("older_than", least=0.0))


def _read_none(value: object) -> None:
    if value is not None:
        raise WireError("none: found a value, expected nothing")


def _read_tree(value: object) -> TreeView:
    fields = Fields("tree", value)
    return TreeView(
        name=fields.text("name"),
        runtime_pid=fields.integer("runtime_pid"),
        state_dir=fields.text_or_none("state_dir"),
        started_at=fields.number("started_at"),
        taken_at=fields.number("taken_at"),
        root=_read_actor(fields.value("root")),
    )


def _read_actor(value: object) -> ActorView:
    fields = Fields("actor", value)
    return ActorView(
        path=fields.text("path"),
        kind=fields.text("kind"),
        state=fields.text("state"),
        ready=fields.flag("ready"),
        generation=fields.integer("generation"),
        restarts=fields.integer("restarts"),
        uptime=fields.number_or_none("uptime"),
        last_exit=fields.text_or_none("last_exit"),
        waiting_for=fields.texts("waiting_for"),
        retry_in=fields.number_or_none("retry_in"),
        pid=fields.integer_or_none("pid"),
        adopted=fields.flag("adopted"),
        command=fields.texts("command"),
        log=fields.text_or_none("log"),
        health=fields.text_or_none("health"),
        intensity=fields.text_or_none("intensity"),
        children=tuple(_read_actor(child) for child in fields.items("children")),
        strategy=fields.text_or_none("strategy"),
    )


def _read_events(value: object) -> EventsRead:
    fields = Fields("events", value)
    return EventsRead(fields.maps("events"), fields.integer("last"), fields.integer("missed"))


def _read_crashes(value: object) -> CrashesRead:
    return CrashesRead(tuple(_read_crash(crash) for crash in Fields("crashes", value).items("crashes")))


def _read_crash(value: object) -> CrashView:
    fields = Fields("crash", value)
    return CrashView(
        ago=fields.number("ago"),
        generation=fields.integer("generation"),
        reason=fields.text("reason"),
        traceback=fields.text("traceback"),
        last_message=fields.text_or_none("last_message"),
        mailbox=fields.integer("mailbox"),
        state=fields.text_or_none("state"),
    )


def _read_log(value: object) -> LogRead:
    fields = Fields("log", value)
    return LogRead(fields.text("text"), fields.integer("next_offset"))


def _read_plan(value: object) -> TreePlan:
    fields = Fields("plan", value)
    return TreePlan(
        root=fields.text("root"),
        source=fields.text("source"),
        steps=_read_steps(fields, "steps"),
        left=_read_steps(fields, "left"),
        digest=fields.text("digest"),
    )


def _read_applied(value: object) -> ApplyReport:
    fields = Fields("applied", value)
    failed = fields.value("failed")
    return ApplyReport(
        root=fields.text("root"),
        source=fields.text("source"),
        done=_read_steps(fields, "done"),
        failed=None if failed is None else _read_step(failed),
        error=fields.text_or_none("error"),
        not_done=_read_steps(fields, "not_done"),
        left=_read_steps(fields, "left"),
    )


def _read_steps(fields: Fields, name: str) -> tuple[PlannedStep, ...]:
    return tuple(map(_read_step, fields.items(name)))


def _read_step(value: object) -> PlannedStep:
    fields = Fields("step", value)
    return PlannedStep(fields.text("action"), fields.text("path"), fields.texts("why"))


_COMMANDS: Final[Mapping[str, Callable[[Fields], Command]]] = {
    "inspect": _read_inspect,
    "down": _read_down,
    "start": lambda fields: StartActor(_read_path(fields)),
    "stop": lambda fields: StopActor(_read_path(fields)),
    "restart": lambda fields: RestartActor(_read_path(fields)),
    "discard-state": lambda fields: DiscardState(_read_path(fields)),
    "read-events": _read_read_events,
    "read-crashes": lambda fields: ReadCrashes(_read_path(fields)),
    "read-log": _read_read_log,
    "plan": _read_plan_tree,
    "apply": _read_apply_tree,
    "create-checkpoint": _read_create_checkpoint,
    "list-checkpoints": _read_list_checkpoints,
    "show-checkpoint": _read_show_checkpoint,
    "diff-checkpoints": _read_diff_checkpoints,
    "restore-checkpoint": _read_restore_checkpoint,
    "prune-checkpoints": _read_prune_checkpoints,
}

_RESULTS: Final[Mapping[str, Callable[[object], Result]]] = {
    "none": _read_none,
    "tree": _read_tree,
    "actor": _read_actor,
    "events": _read_events,
    "crashes": _read_crashes,
    "log": _read_log,
    "plan": _read_plan,
    "applied": _read_applied,
    "checkpoint": lambda value: CheckpointDocument(Fields("checkpoint", value).map("fields")),
}
