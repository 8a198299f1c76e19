"""An exception as an exit reason: its text is kept, its frames are let go.

Through its frames every record of a crash (an event, a supervisor's last exit) would keep the dead
actor and all its state alive.
"""

import traceback as tb
from typing import cast

from treewarden.actors._exits import Crashed

__all__ = ["as_crash"]


def as_crash(error: BaseException, *, where: str | None) -> Crashed:
    """`error` as a reason. `where` names the actor if somebody asked: the asker reads it in a note (PEP 678)."""
    crash = Crashed(error, "".join(tb.format_exception(error)))
    notes: list[str] = getattr(error, "__notes__", [])
    if where is not None and not any(note.startswith("Raised in ") for note in notes):
        error.add_note(f"Raised in {where}:\n{crash.traceback}")
    _let_go_of_frames(error)
    return crash


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
