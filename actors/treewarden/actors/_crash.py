"""An exception as an exit reason: its text is kept, its frames are let go.

Through its frames every record of a crash (an event, a supervisor's last exit) would keep the dead
actor and all its state alive.

The text is made before the supervisor hears of the crash, so it must be quick: `traceback`'s own way
looks at every source file again and parses each line for its markers, which took longer than all else
between a crash and the restart. Here source lines are those that were read first.
"""

import linecache
import traceback as tb
from collections.abc import Iterator
from types import TracebackType
from typing import cast

from treewarden.actors._exits import Crashed

__all__ = ["as_crash"]


def as_crash(error: BaseException, *, where: str | None) -> Crashed:
    """`error` as a reason. `where` names the actor if somebody asked: the asker reads it in a note (PEP 678)."""
    crash = Crashed(error, _text(error))
    notes: list[str] = getattr(error, "__notes__", [])
    if where is not None and not any(note.startswith("Raised in ") for note in notes):
        error.add_note(f"Raised in {where}:\n{crash.traceback}")
    _let_go_of_frames(error)
    return crash


def _text(error: BaseException) -> str:
    """What `traceback.format_exception` gives, without the markers below the lines of `error` itself."""
    shown = tb.TracebackException(type(error), error, None)
    shown.stack = tb.StackSummary.from_list(list(_frames(error.__traceback__)))
    return "".join(shown.format())


def _frames(trace: TracebackType | None) -> Iterator[tb.FrameSummary]:
    for frame, line in tb.walk_tb(trace):
        code = frame.f_code
        linecache.lazycache(code.co_filename, frame.f_globals)  # for sources that are no files
        yield tb.FrameSummary(code.co_filename, line, code.co_name, lookup_line=False)


def _let_go_of_frames(error: BaseException) -> None:
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = None
            chain += (link.__cause__, link.__context__)
            if isinstance(link, BaseExceptionGroup):
                chain += cast("BaseExceptionGroup[BaseException]", link).exceptions
