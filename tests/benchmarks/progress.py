"""What a long run says of itself, on standard error."""

import sys
import time

__all__ = ["say"]

_began = time.monotonic()


def say(what: str) -> None:
    """One line, with the seconds since the run began."""
    print(f"{time.monotonic() - _began:5.0f} s  {what}", file=sys.stderr, flush=True)
