"""What `treewarden --help` takes, from the start of its process to the end; beside an interpreter that does nothing."""

import subprocess
import sys
import time

from measure import Effort, Row, Target

HELP = "import sys; sys.argv = ['treewarden', '--help']; from treewarden.supervision_trees.cli import main; main()"


def measure(effort: Effort) -> list[Row]:
    """A process of each for each four samples, in turns; milliseconds."""
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(effort.rounds * max(1, effort.samples // 4)):
        ours.append(_time(HELP))
        bare.append(_time(""))
    return [
        Row("cli-help: treewarden --help", "ms", ours, must=Target("p50", at_most=300.0)),
        Row("cli-help: floor (python -c '')", "ms", bare),
    ]


def _time(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1000
