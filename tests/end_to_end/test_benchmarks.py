"""The benchmarks run; what they measure is judged by `run.py` alone, never by the suite."""

import json
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parents[1] / "benchmarks" / "run.py"


def test_the_respawn_benchmark_runs_and_reports_its_target() -> None:
    done = subprocess.run(
        [sys.executable, str(RUN), "respawn", "--quick", "--json"], capture_output=True, text=True, check=False
    )

    report = json.loads(done.stdout)
    assert 3 == report["rows"][0]["samples"]
    assert {"quantile": "p50", "at_most": 10.0} == report["rows"][0]["target"]
    assert (0 if report["rows"][0]["met"] else 1) == done.returncode


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    done = subprocess.run([sys.executable, str(RUN), "nonsense"], capture_output=True, text=True, check=False)

    assert 2 == done.returncode
    assert "no benchmark named nonsense" in done.stderr
