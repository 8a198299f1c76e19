"""Contests: ours and others do the same, in turns, each in a process of its own.

So frameworks that fork, or keep an event loop or a registry of their own, do not meet. All processes
of a contest live as long as it lasts and sleep when it is not their turn. A contender that is not
installed, fails, or does not answer in time becomes a row that says so.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import psutil
from cores import VARIABLE, Cores, is_possible
from measure import Effort, Row, Target
from progress import say

__all__ = ["OURS", "YARDSTICK", "contest"]

OURS: Final = "treewarden"
YARDSTICK: Final = "pykka"
A_SECOND: Final = {"ms": 1e3, "us": 1e6}
PATIENCE: Final = 60.0  # seconds that a contender has for a round
MARK: Final = "TREEWARDEN_BENCHMARK"
CONTENDER: Final = Path(__file__).with_name("contender.py")


def contest(
    feat: str,
    effort: Effort,
    *,
    contenders: Sequence[str],
    unit: Literal["/s", "us", "ms"] = "/s",
    operations: int | None = None,
    cores: Cores | None = None,
    must: Target | None = None,
    aim: Target | None = None,
) -> list[Row]:
    """A row for each of `contenders`, with the targets in ours; the ratio is that to pykka, if it takes part.

    In the unit "/s" a sample is the operations a second of one round, otherwise the time of each. A
    round has as many as `effort` allows time for, or so many `operations`. Contenders that have
    threads run them on so many `cores`, if it is given.
    """
    title = feat if cores is None else f"{feat} on {cores} core{'' if cores == 'one' else 's'}"
    if cores is not None and not is_possible():
        return [Row(title, unit, skipped="threads cannot be placed here, or there is one core only")]
    skipped: dict[str, str] = {}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    with contextlib.ExitStack() as closers:
        processes = {name: closers.enter_context(_Process(name, cores)) for name in samples}
        for number in range(1, effort.rounds + 1):
            say(f"{title}: round {number} of {effort.rounds}")
            for name, process in processes.items():
                if name in skipped:
                    continue
                try:
                    rate = process.rate({"feat": feat, "seconds": effort.seconds, "operations": operations})
                except _Skipped as why:
                    if name in (OURS, YARDSTICK):
                        raise RuntimeError(f"{feat}: {name}: {why}") from why
                    skipped[name] = str(why)
                    process.end()  # it may be at work still
                else:
                    samples[name].append(rate if unit == "/s" else A_SECOND[unit] / rate)
    base = samples.get(YARDSTICK, [])
    rows: list[Row] = []
    for name in contenders:
        if name in skipped:
            rows.append(Row(f"{title}: {name}", unit, skipped=skipped[name]))
        elif name == OURS:
            rows.append(Row(f"{title}: {name}", unit, samples[name], must=must, aim=aim, base=base))
        else:
            rows.append(Row(f"{title}: {name}", unit, samples[name], base=base))
    return rows


class _Skipped(Exception):
    """Why a contender takes no part, or no more."""


class _Process:
    """The process of one contender, with all that it starts."""

    def __init__(self, name: str, cores: Cores | None) -> None:
        self._placed = {} if cores is None else {VARIABLE: cores}
        self._mark = uuid.uuid4().hex  # all that it starts bears it, in whatever session
        self._module = {OURS: "ours", YARDSTICK: "yardstick"}.get(name, f"peers.{name}_peer")

    def __enter__(self) -> Self:
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, str(CONTENDER), self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **self._placed, MARK: self._mark},
            start_new_session=True,  # Ctrl-C is for the run, which ends it
        )
        self._is_ready = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if kind is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5.0)
        self.end()
        self._process.stdout.close()
        self._errors.close()

    def end(self) -> None:
        """Kill it, and all that it started."""
        self._process.kill()
        self._process.wait()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark:
                    process.kill()

    def rate(self, round_: dict[str, object]) -> float:
        """Operations a second in one round, as `contender` reads it."""
        if not self._is_ready:
            self._read()
            self._is_ready = True
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(round_).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise _Skipped(self._last_words()) from None
        return float(self._read()["rate"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        if not readable:
            raise _Skipped(f"no answer within {PATIENCE:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise _Skipped(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "skipped" in answer:
            raise _Skipped(answer["skipped"])
        return answer

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"it ended: {lines[-1]}" if lines else "it ended"
