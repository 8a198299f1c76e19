"""The process of one contender: `python contender.py MODULE`, asked round for round by `contest`.

MODULE has `FEATS`: functions that do so many operations and return the seconds these took, set-up
and clean-up not included. Each line on standard input names a feat and the seconds that a round
shall last, or how many operations it shall have; the answer is one JSON line with operations a
second. How many fit into the seconds is found out when a feat is first asked for, which warms it up.
"""

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import TextIO

import cores

FEW = 20  # operations to begin with
STEP = 10.0  # at most so many times more in the next try


def main(module: str) -> None:
    """Answer until standard input ends."""
    answers = _own_stdout()
    try:
        feats: dict[str, Callable[[int], float]] = importlib.import_module(module).FEATS
    except ImportError as error:
        _answer(answers, {"skipped": f"not installed ({error})"})
        return
    _answer(answers, {"ready": True})
    sizes: dict[str, int] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        name: str = asked["feat"]
        try:
            feat = feats[name]
            if name not in sizes:
                sizes[name] = asked["operations"] or _size(feat, asked["seconds"])
            _answer(answers, {"rate": sizes[name] / _seconds(feat, sizes[name])})
        except Exception as error:  # noqa: BLE001 - boundary: whatever a peer raises is why it is left out
            _answer(answers, {"skipped": f"{type(error).__name__}: {error}"})


def _seconds(feat: Callable[[int], float], operations: int) -> float:
    gc.collect()  # what the round before has left is not this one's cost
    try:
        return feat(operations)
    finally:
        cores.free()


def _size(feat: Callable[[int], float], seconds: float) -> int:
    """How many operations take so many `seconds`, roughly."""
    size = FEW
    while seconds:
        taken = max(_seconds(feat, size), 1e-6)
        if taken >= seconds / 2:
            return max(1, round(size * seconds / taken))
        size = max(size + 1, round(size * min(STEP, seconds / taken)))
    return size


def _own_stdout() -> TextIO:
    """Standard output for answers alone: whatever else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _answer(answers: TextIO, answer: dict[str, object]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
