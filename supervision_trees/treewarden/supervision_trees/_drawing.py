"""A tree as text: one line for each actor, joined by box-drawing lines.

Pure. `tree_lines` gives the parts of each line with their tone, so that the CLI can colour what
`draw` prints plainly. Whatever a message holds, an actor stays on its one line: control characters
are written as escapes and long texts are cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, final

from treewarden.supervision_trees._inspect import ActorView, TreeView

__all__ = [
    "Line",
    "Part",
    "Tone",
    "describe_duration",
    "describe_state",
    "draw",
    "one_line",
    "printable",
    "tone_of",
    "tree_lines",
]

_LONGEST_TEXT: Final = 100  # characters of a reason; the whole of it is in `treewarden show`
_GAP: Final = "  "


class Tone(Enum):
    """What a part of a line means to the eye."""

    NAME = "name"
    QUIET = "quiet"
    GOOD = "good"
    BUSY = "busy"  # on its way
    BAD = "bad"


@final
@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line."""

    text: str
    tone: Tone


@final
@dataclass(frozen=True, slots=True)
class Line:
    """One actor's line: the lines that lead to it, and its parts from left to right."""

    stem: str
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return self.stem + _GAP.join(part.text for part in self.parts)


def draw(view: TreeView) -> str:
    """The tree as plain text, without a newline at its end."""
    return "\n".join(str(line) for line in tree_lines(view))


def tree_lines(view: TreeView) -> tuple[Line, ...]:
    """A heading, then one line for each actor, parents before children."""
    up = describe_duration(max(view.taken_at - view.started_at, 0.0))
    heading = f"runtime pid {view.runtime_pid}, up {up}"
    if view.state_dir is not None:
        heading += f", state in {printable(view.state_dir)}"  # a path in part leads nowhere
    return (Line("", (Part(heading, Tone.QUIET),)), *_actor_lines(view.root, "", "", one_line(view.root.path)))


def describe_state(actor: ActorView) -> str:
    """The state, with what it waits for: `running, ready`, `waiting for ports`, `restarting, next try in 3.2 s`."""
    match actor.state:
        case "waiting" if actor.waiting_for:
            return f"waiting for {', '.join(actor.waiting_for)}"
        case "running" if actor.ready:
            return "running, ready"
        case "running":
            return f"running, not ready: {one_line(actor.health)}" if actor.health else "running, not ready"
        case "restarting" if actor.retry_in is not None:
            return f"restarting, next try in {describe_duration(actor.retry_in)}"
        case state:
            return state


def tone_of(actor: ActorView) -> Tone:
    """How an actor's state is doing."""
    match actor.state:
        case "running":
            return Tone.GOOD if actor.ready else Tone.BUSY
        case "failed" | "silent":
            return Tone.BAD
        case "stopped":
            return Tone.QUIET
        case _:
            return Tone.BUSY


def describe_duration(seconds: float) -> str:
    """A duration to two units: `3.2 s`, `2 min 5 s`, `1 h 4 min`, `3 d 2 h`."""
    if seconds < 59.95:  # noqa: PLR2004 - what would round to "60.0 s"
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s"


def printable(text: str) -> str:
    """`text` with control characters written as escapes, so that it can neither break a line nor steer a terminal."""
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def one_line(text: str) -> str:
    """`printable`, and cut where it would make a line too long to look over."""
    clean = printable(text)
    return clean if len(clean) <= _LONGEST_TEXT else f"{clean[: _LONGEST_TEXT - 3]}..."


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", errors="backslashreplace").decode("ascii")


def _actor_lines(actor: ActorView, stem: str, below: str, name: str) -> Iterator[Line]:
    yield Line(stem, tuple(_parts(actor, name)))
    last = len(actor.children) - 1
    for number, child in enumerate(actor.children):
        branch, under = ("└─ ", "   ") if number == last else ("├─ ", "│  ")
        yield from _actor_lines(child, below + branch, below + under, one_line(child.path.rpartition("/")[2]))


def _parts(actor: ActorView, name: str) -> Iterator[Part]:
    yield Part(name, Tone.NAME)
    yield Part(actor.kind, Tone.QUIET)
    yield Part(describe_state(actor), tone_of(actor))
    if actor.pid is not None:
        yield Part(f"pid {actor.pid} (adopted)" if actor.adopted else f"pid {actor.pid}", Tone.QUIET)
    if actor.uptime is not None:
        yield Part(f"up {describe_duration(actor.uptime)}", Tone.QUIET)
    if actor.restarts:
        yield Part("1 restart" if actor.restarts == 1 else f"{actor.restarts} restarts", Tone.BUSY)
    if actor.last_exit is not None:
        yield Part(f"last exit: {one_line(actor.last_exit)}", Tone.QUIET)
    if actor.intensity is not None:
        grouped = "" if actor.strategy in (None, "one_for_one") else f"{actor.strategy}, "
        yield Part(f"({grouped}{one_line(actor.intensity)})", Tone.QUIET)
