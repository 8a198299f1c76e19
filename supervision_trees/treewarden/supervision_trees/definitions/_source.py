"""Definition files on disk: which notation they are in, and their text, or why there is none."""

import stat
from pathlib import Path
from typing import Final

from treewarden.supervision_trees.definitions._document import Format, Unreadable

__all__ = ["MAX_BYTES", "format_of", "read_text", "text_of"]

MAX_BYTES: Final = 16 * 1024 * 1024

_FORMATS: Final = {".yaml": Format.YAML, ".yml": Format.YAML, ".toml": Format.TOML, ".json": Format.JSON}


def format_of(path: Path) -> Format:
    """The notation that the file's name promises.

    Raises:
        Unreadable: if the name promises none that is known.
    """
    known = _FORMATS.get(path.suffix.lower())
    if known is None:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise Unreadable(0, found, "a file name that ends in .yaml, .yml, .toml or .json")
    return known


def read_text(path: Path) -> str:
    """The whole text of a regular file in UTF-8, with or without a byte order mark.

    Raises:
        Unreadable: saying what is there instead.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            # Opening a FIFO or a terminal would wait for a writer that may never come.
            kind = "a directory" if stat.S_ISDIR(mode) else "something that is no regular file"
            raise Unreadable(0, kind, "a definition file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise Unreadable(0, "no such file", "a definition file") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(0, f"a file that cannot be read ({why})", "a definition file") from error
    return text_of(data)


def text_of(data: bytes) -> str:
    """The text that `data` encodes.

    Raises:
        Unreadable: if it is too large, or no text in UTF-8; the line is that of the first wrong byte.
    """
    if len(data) > MAX_BYTES:
        raise Unreadable(0, f"more than {MAX_BYTES} bytes", "a definition of ordinary size")
    if b"\0" in data:
        raise Unreadable(0, "binary data", "text in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(line, f"the byte 0x{data[error.start]:02x}, which is not UTF-8", "text in UTF-8") from error
