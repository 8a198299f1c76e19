"""From the body of a request to the frame of its answer: decode, carry out, encode.

`plan` says which lane a body belongs to; `carry_out` does the work and never raises: every way a
command can end becomes an answer, so that the one who asked always learns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, assert_never, cast, final

from treewarden.actors import TreewardenError
from treewarden.supervision_trees._control import (
    ApplyTree,
    Command,
    CreateCheckpoint,
    DiffCheckpoints,
    DiscardState,
    Inspect,
    ListCheckpoints,
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
)
from treewarden.supervision_trees.console._fields import WireError
from treewarden.supervision_trees.console._frames import FrameError, FrameTooLarge, decode_body, encode_frame
from treewarden.supervision_trees.console._wire import (
    Answer,
    ErrorKind,
    Failure,
    Result,
    answer_to_plain,
    command_from_plain,
)

__all__ = ["CommandExecutor", "LaneName", "Planned", "carry_out", "encode_answer", "plan"]


_LONGEST_MESSAGE: Final = 10_000  # characters; an error must always fit in a frame


class CommandExecutor(Protocol):
    """What carries out commands; `Runtime` is one. Called from several threads at once."""

    def execute(self, command: Command) -> object:
        """The command's named result (`_control`). May block for some seconds.

        Raises:
            TreewardenError: to refuse; its text is shown to the person who asked.
        """
        ...


class LaneName(Enum):
    """The kinds of commands that must not delay each other."""

    READ = "read"  # answered at once
    WAIT = "wait"  # waits for events by its nature
    CHANGE = "change"  # may take as long as a stop takes, or imports modules


@final
@dataclass(frozen=True, slots=True)
class Planned:
    """A command and where to carry it out."""

    command: Command
    lane: LaneName


def plan(body: bytes) -> Planned | Failure:
    """What the body of a request asks for, or why it asks for nothing that exists here.

    Raises:
        FrameError: if it is no body at all; then nothing after it on that connection can be believed.
    """
    try:
        command = command_from_plain(decode_body(body))
    except WireError as error:
        return _failure(ErrorKind.PROTOCOL, error)
    return Planned(command, _lane_of(command))


def _lane_of(command: Command) -> LaneName:
    """Where `command` is carried out."""
    match command:
        case Inspect() | ReadCrashes() | ReadLog() | ListCheckpoints() | ShowCheckpoint() | DiffCheckpoints():
            return LaneName.READ
        case ReadEvents(wait=wait):
            return LaneName.WAIT if wait > 0 else LaneName.READ
        case StartActor() | StopActor() | RestartActor() | DiscardState() | StopTree() | PlanTree() | ApplyTree():
            return LaneName.CHANGE
        case CreateCheckpoint() | RestoreCheckpoint() | PruneCheckpoints():
            return LaneName.CHANGE
        case _:
            assert_never(command)


def carry_out(command: Command, executor: CommandExecutor, on_defect: Callable[[BaseException], None]) -> bytes:
    """The frame that answers `command`. Blocks as long as the executor does.

    What is neither a result nor a refusal is a defect: the client hears so, and `on_defect` gets it.
    """
    try:
        result = executor.execute(command)
    except TreewardenError as error:
        return encode_answer(_failure(ErrorKind.REFUSED, error))
    except BaseException as error:  # noqa: BLE001 - executor boundary: a SystemExit in it must not leave the client unanswered
        return _defect(command, error, on_defect)
    try:
        return encode_answer(cast("Result", result))
    except FrameTooLarge as error:
        return encode_answer(Failure(ErrorKind.TOO_LARGE, f"the answer is {error}; ask for less at a time"))
    except (FrameError, AssertionError) as error:  # a result that is none of `Result`, or has values that are not plain
        return _defect(command, error, on_defect)


def encode_answer(answer: Answer) -> bytes:
    """The frame that carries `answer`."""
    return encode_frame(answer_to_plain(answer))


def _defect(command: Command, error: BaseException, on_defect: Callable[[BaseException], None]) -> bytes:
    error.add_note(f"treewarden console: while it carried out {type(command).__name__}")
    on_defect(error)
    return encode_answer(_failure(ErrorKind.FAILED, error))


def _failure(kind: ErrorKind, error: BaseException) -> Failure:
    text = str(error)
    if kind is ErrorKind.FAILED:
        text = f"{type(error).__name__}: {text}"
    return Failure(kind, text[:_LONGEST_MESSAGE] or type(error).__name__)
