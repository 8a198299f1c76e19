"""kill -9 of a runtime whose actors keep their state by themselves: nothing that was answered is lost or doubled."""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

PROGRAM = Path(__file__).parent / "programs" / "durable_clients.py"
CYCLES = 10


def live(state_dir: Path, life: int, *, answers: int) -> tuple[dict[str, list[str]], list[str]]:
    """One life of the runtime, killed after so many answers: what it restored, and what was answered."""
    command = [sys.executable, str(PROGRAM), str(state_dir), str(life)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            restored: dict[str, list[str]] = json.loads(process.stdout.readline())
            answered = [process.stdout.readline() for _ in range(answers)]
        finally:
            process.kill()
        answered += process.stdout.readlines()  # what was answered before it died, and not read yet
    return restored, [line.strip() for line in answered if line.endswith("\n")]


def test_kill_9_loses_and_doubles_nothing_that_was_answered(tmp_path: Path) -> None:
    """Of class SNAPSHOT and JOURNAL alike; and nobody has heard of what is not kept."""
    random_answers, answered = random.Random(1), set[str]()
    for life in range(CYCLES + 1):
        restored, new = live(tmp_path / "state", life, answers=random_answers.randint(1, 120))
        kept = Counter(restored["tally"] + restored["ledger"])
        mirrored = Counter(restored["mirror"])

        assert answered <= kept.keys(), "lost"
        assert [] == [name for name, times in kept.items() if times > 1], "doubled"
        assert mirrored.keys() <= kept.keys(), "heard, and not kept"
        assert [] == [name for name, times in mirrored.items() if times > 1], "heard twice"
        for actor in ("tally", "ledger"):  # each client's names in its order, without a gap
            for client in {name.rsplit("-", 1)[0] for name in restored[actor]}:
                numbers = [int(name.rsplit("-", 1)[1]) for name in restored[actor] if name.startswith(f"{client}-")]
                assert list(range(len(numbers))) == numbers
        answered |= set(new)
    assert len(answered) > CYCLES
