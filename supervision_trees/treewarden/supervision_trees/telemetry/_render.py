"""Every event as one line for a person and plain values for a machine. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import assert_never, final

from treewarden.actors import (
    ActorTraced,
    ApplyFailed,
    ApplyStep,
    CheckpointFailed,
    CheckpointRestored,
    CheckpointsPruned,
    CheckpointTaken,
    ChildAbandoned,
    ChildDeclined,
    ChildExited,
    ChildFailed,
    ChildReady,
    ChildRestarting,
    ChildStarted,
    ChildStartFailed,
    ChildStopped,
    ChildWaiting,
    Crashed,
    CrashReport,
    DeadLetter,
    Event,
    Gone,
    GroupRestarting,
    JournalCut,
    Killed,
    MailboxWithheld,
    MessageFenced,
    Normal,
    ProbeFailed,
    ProcessAdopted,
    ProcessExited,
    ProcessReplaced,
    ProcessSpawned,
    ProcessStuck,
    RuntimeStarted,
    RuntimeStopped,
    RuntimeStopping,
    Shutdown,
    SnapshotFellBack,
    SnapshotQuarantined,
    StoreResumed,
    StoreStalled,
    StrayEnded,
    SupervisorGaveUp,
    TreeApplied,
    Unresponsive,
    describe_exit,
)
from treewarden.actors.processes import describe_end

__all__ = ["Level", "Rendered", "event_fields", "render"]

Level = str  # "info", "warning" or "error": structlog's method names


@final
@dataclass(frozen=True, slots=True)
class Rendered:
    """An event for the log: its level, one line of text, and its fields as plain values."""

    name: str
    level: Level
    text: str
    fields: Mapping[str, object]


def render(event: Event) -> Rendered:
    """Say what happened."""
    level, text = _say(event)
    values = {field.name: _plain(getattr(event, field.name)) for field in fields(event)}
    return Rendered(type(event).__name__, level, text, values)


def event_fields(event: Event) -> dict[str, object]:
    """`event` as plain values: its own fields, its class, its level and its text."""
    try:
        rendered = render(event)
    except Exception as error:  # noqa: BLE001 - boundary to what an actor raised: its own text may raise when it is asked for
        text = f"a {type(event).__name__} that cannot be told: {type(error).__name__}"
        return {"event": type(event).__name__, "level": "error", "text": text}
    return {**rendered.fields, "event": rendered.name, "level": rendered.level, "text": rendered.text}


def _plain(value: object) -> object:
    match value:
        case Normal() | Shutdown() | Crashed() | Killed() | Unresponsive() | Gone():
            return describe_exit(value)
        case tuple():
            return list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - of plain values
        case _:
            return value


def _say(event: Event) -> tuple[Level, str]:
    match event:
        case RuntimeStarted(root, pid):
            return "info", f"runtime {pid} runs the tree {root}"
        case RuntimeStopping(why):
            return "info", f"the tree stops: {why}"
        case RuntimeStopped(stopped, abandoned, orphans):
            left = f", {len(abandoned)} abandoned, left alive: {list(orphans)}" if abandoned or orphans else ""
            return "error" if orphans else "info", f"the tree has stopped: {stopped} ended{left}"
        case ChildWaiting(path, needs):
            return "info", f"{path} waits for {', '.join(needs)}"
        case ChildStarted(path, generation):
            return "info", f"{path} started (generation {generation})"
        case ChildReady(path):
            return "info", f"{path} is ready"
        case ChildDeclined(path):
            return "info", f"{path} declined to start"
        case ChildStartFailed(path, _, reason):
            return "error", f"{path} did not start: {describe_exit(reason)}"
        case ChildExited(path, _, Normal() | Shutdown() as reason):
            return "info", f"{path} ended: {describe_exit(reason)}"
        case ChildExited(path, _, reason):
            return "error", f"{path} ended: {describe_exit(reason)}"
        case ChildRestarting(path, _, delay, used, allowed):
            wait = f" in {delay:.3g} s" if delay > 0 else ""
            return "warning", f"{path} is restarted{wait} ({used} of {allowed} restarts used)"
        case ChildStopped(path, _, reason):
            return "info", f"{path} stopped: {describe_exit(reason)}"
        case ChildFailed(path, _, _, why):
            return "error", f"{path} failed: {why}; it waits for an operator"
        case GroupRestarting(path, child, others):
            return "warning", f"{path} restarts {', '.join(others) or 'nobody else'} together with {child}"
        case CrashReport(path=path, generation=generation, reason=reason, then=then, used=used, allowed=allowed):
            budget = f"{used} of {allowed} restarts used"
            return "error", f"{path} generation {generation} {describe_exit(reason)}; {then} ({budget})"
        case ChildAbandoned(path, generation, after):
            return "error", f"{path} generation {generation} did not end within {after:g} s and was abandoned"
        case SupervisorGaveUp(path, child, reason, restarts, allowed, within, consequence):
            why = f"{child} needed {restarts} restarts within {within:g} s, {allowed} are allowed"
            return "error", f"{path} gives up: {why} (last end: {describe_exit(reason)}); {consequence}"
        case DeadLetter(path, message):
            return "warning", f"nobody at {path} took a {message}"
        case MessageFenced(path, generation, message):
            return "warning", f"{message} of {path} generation {generation}, given up on before, was refused"
        case ActorTraced(path, generation, what, message):
            return "info", f"{path} generation {generation}: {what} {message}"
        case ProcessSpawned(path, incarnation, pid):
            return "info", f"{path} runs as pid {pid} (incarnation {incarnation})"
        case ProcessAdopted(path, incarnation, pid):
            return "info", f"{path} adopted pid {pid}, alive since an earlier runtime (incarnation {incarnation})"
        case ProcessReplaced(path, _, pid, why):
            return "warning", f"{path} ends pid {pid} of an earlier life: {why}"
        case ProcessExited(path, _, pid, code, signal):
            return "info", f"{path} pid {pid}: {describe_end(code, signal)}"
        case ProcessStuck(path, _, survivors):
            return "error", f"{path}: processes {list(survivors)} survived SIGKILL"
        case ProbeFailed(path, purpose, why, in_a_row):
            times = f" ({in_a_row} in a row)" if in_a_row > 1 else ""
            return "warning", f"{path} is not {purpose}{times}: {why}"
        case StrayEnded(path, incarnation, pid):
            return "warning", f"ended stray pid {pid}, left by {path} incarnation {incarnation}"
        case SnapshotQuarantined(path, why):
            return "error", f"the stored record of {path} is corrupt and was set aside: {why}"
        case SnapshotFellBack(path, sequence, _):
            return "error", f"{path} goes on from its older snapshot {sequence}: the newest could not be used"
        case CheckpointTaken(path, number, trigger, actors, added, paused):
            return "info", (
                f"checkpoint {number} of {path} ({trigger}): {actors} actors, {added} bytes added, paused {paused:.3f} s"
            )
        case CheckpointFailed(path, number, why):
            which = "a checkpoint" if number is None else f"checkpoint {number}"
            return "error", f"{which} of {path} came to nothing: {why}"
        case CheckpointRestored(path, number, states):
            return "warning", f"{path} was restored from checkpoint {number}: {states} states"
        case CheckpointsPruned(numbers, freed):
            return "info", f"{len(numbers)} old checkpoints were removed, {freed} bytes freed"
        case MailboxWithheld(path, why):
            return "error", f"what waited for {path} in its checkpoint is not given back, and is kept: {why}"
        case StoreStalled(state_dir):
            return "error", f"the disk of {state_dir} is full: nothing is stored until there is room again"
        case StoreResumed(state_dir, stalled_for):
            return "warning", f"there is room in {state_dir} again, after {stalled_for:.1f} s: the store goes on"
        case JournalCut(path, sequence, why, lost):
            return "error", f"the journal of {path} was cut at entry {sequence}, {lost} set aside: {why}"
        case ApplyStep(path, action, why, number, of):
            return "info", f"apply, step {number} of {of}: {action} {path}{f' ({why})' if why else ''}"
        case ApplyFailed(path, action, why, number, of):
            return "error", f"apply ended at step {number} of {of}, {action} {path}: {' '.join(why.split())}"
        case TreeApplied(root, source, steps):
            return "info", f"{root} is what {source} says, after {steps} step{'' if steps == 1 else 's'}"
        case _:
            assert_never(event)
