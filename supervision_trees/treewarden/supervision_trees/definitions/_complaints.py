"""What is wrong with a definition file: one `Complaint` per mistake, all of them in one error.

A reader of a definition collects everything it can find before it gives up, so a file is
corrected in one go. Line 0 means that the line is not known and is left out of the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from treewarden.actors import TreewardenError

__all__ = ["Complaint", "DefinitionErrors"]


@final
@dataclass(frozen=True, slots=True)
class Complaint:
    """One mistake: where it is, what was found there, and what would be right.

    `place` is written as one would point at it (`children[2].restart`); it is empty when the
    complaint is about the file as a whole. `line` counts from 1, 0 if it is not known.
    """

    file: str
    line: int
    place: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.place}: " if self.place else ""
        return f"{where}  {subject}found {self.found}, expected {self.expected}"


@final
class DefinitionErrors(TreewardenError):
    """A definition cannot be run as it is written; nothing was started.

    `complaints` has at least one member and is in the order of the file. The text of the error
    is one line for each.
    """

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        assert complaints, "an error without a complaint"
        self.complaints = tuple(complaints)
        super().__init__("\n".join(str(complaint) for complaint in self.complaints))
