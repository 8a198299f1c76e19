"""SIGINT, SIGTERM and SIGHUP as one request to stop.

A handler runs between any two instructions of the main thread, perhaps while it holds a lock that
the stop needs. So it only puts the signal's name in a `SimpleQueue`, whose `put` is reentrant by
contract (Python's documentation of `queue`), and a thread does the asking. Only the first signal
asks; the rest change nothing, since an orderly stop is under way. A signal that was ignored at the
start stays ignored (nohup(1)).
"""

import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Final, Self, final

__all__ = ["StopSignals"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@final
class StopSignals:
    """Catches the signals inside its `with` block, main thread only; one that comes before `watch` is kept for it."""

    def __init__(self) -> None:
        self._arrived: SimpleQueue[str | None] = SimpleQueue()
        self._before: dict[signal.Signals, object] = {}
        self._watcher: threading.Thread | None = None

    def watch(self, request_stop: Callable[[str], None]) -> None:
        """From now on call `request_stop` with the name of the first signal, on a thread of its own."""

        def run() -> None:
            why = self._arrived.get()
            if why is not None:
                request_stop(why)

        self._watcher = threading.Thread(target=run, name="treewarden-signals", daemon=True)
        self._watcher.start()

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._arrive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what `signal.signal` answered, given back
        self._arrived.put(None)
        if self._watcher is not None:
            self._watcher.join()

    def _arrive(self, number: int, _: FrameType | None) -> None:
        self._arrived.put(signal.Signals(number).name)
