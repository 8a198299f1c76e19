"""What `--since` of `events` may say: a sequence number, how long ago, or a time. Pure but for the local time zone."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, final

__all__ = ["SINCE_RULE", "Since", "parse_since"]

SINCE_RULE: Final = (
    "a sequence number, how long ago (30s, 10m, 2h, 1d), or a time (2026-11-30, 2026-11-30T12:00, 12:00)"
)
_LARGEST: Final = 2**63 - 1
_TIME_OF_DAY: Final = re.compile(r"\d{2}:\d{2}(:\d{2}(\.\d+)?)?")


@final
@dataclass(frozen=True, slots=True)
class Since:
    """Events after this number, or of this wall time or later."""

    sequence: int = 0
    time: float | None = None


def parse_since(text: str, *, now: float) -> Since:
    """What `text` means; a time without an offset is local time.

    Raises:
        ValueError: saying what was found, and what would be right.
    """
    from treewarden.supervision_trees.definitions._durations import parse_duration  # noqa: PLC0415 - not for --help

    written = text.strip()
    if re.fullmatch(r"[0-9]+", written):
        sequence = int(written) if len(written) <= len(str(_LARGEST)) else _LARGEST + 1
        if sequence > _LARGEST:
            raise ValueError(f"found {_shown(text)}, expected at most {_LARGEST}")
        return Since(sequence=sequence)
    try:
        return Since(time=max(0.0, now - parse_duration(written)))
    except ValueError:
        pass  # it is no duration
    try:
        if _TIME_OF_DAY.fullmatch(written):
            today = datetime.fromtimestamp(now).astimezone().date()
            written = f"{today.isoformat()}T{written}"
        # Without an offset `timestamp` takes it as local time, as people mean it.
        return Since(time=max(0.0, datetime.fromisoformat(written).timestamp()))
    except (ValueError, OverflowError, OSError):  # no time, or one that no clock here can show
        raise ValueError(f"found {_shown(text)}, expected {SINCE_RULE}") from None


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 80 else repr(text[:80]) + "..."  # noqa: PLR2004 - what an error repeats
