"""One check under way, and how its answer and its errors reach the outside.

Both ways out are boundaries: whatever a callback raises is passed on as a value and never ends
the thread that called it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from treewarden.actors._probe import Health, Probe, Unhealthy

__all__ = ["CLOSING", "Check", "deliver", "report"]

CLOSING: Final = Unhealthy("the probe loop is closing")


@final
@dataclass(frozen=True, slots=True, eq=False)  # two equal checks are two checks
class Check:
    """One question and whom to tell the answer."""

    probe: Probe
    timeout: float  # seconds
    on_result: Callable[[Health], None]


def deliver(check: Check, health: Health, on_error: Callable[[BaseException], None]) -> None:
    """Tell `check` its answer; an error of its callback goes to `on_error`."""
    try:
        check.on_result(health)
    except BaseException as error:  # noqa: BLE001 - boundary to the caller's code: SystemExit must not end the loop either
        report(error, on_error)


def report(error: BaseException, on_error: Callable[[BaseException], None]) -> None:
    """Pass `error` to `on_error`; if that raises too, to `threading.excepthook`, the last resort of a thread."""
    try:
        on_error(error)
    except BaseException as second:  # noqa: BLE001 - boundary to the caller's code, as above
        threading.excepthook(
            threading.ExceptHookArgs((type(second), second, second.__traceback__, threading.current_thread()))
        )
