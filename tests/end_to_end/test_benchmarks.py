"""The benchmarks run; what they measure is judged by `run.py` alone, never by the suite."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "benchmarks" / "run.py"


def test_the_respawn_benchmark_runs_and_reports_its_target() -> None:
    done = subprocess.run(
        [sys.executable, str(RUN), "respawn", "--quick", "--json"], capture_output=True, text=True, check=False
    )

    report = json.loads(done.stdout)
    assert 3 == report["rows"][0]["samples"]
    assert {"quantile": "p50", "at_most": 10.0} == report["rows"][0]["target"]
    assert (0 if report["rows"][0]["met"] else 1) == done.returncode


@pytest.mark.parametrize(
    ("name", "row", "samples", "target"),
    [
        ("crash-restart", 0, 75, {"quantile": "p50", "at_most": 200.0}),
        ("restart-group", 2, 1, {"quantile": "p50", "at_most": 12.0}),
        ("crash-memory", 0, 1, {"quantile": "max", "at_most": 2.0}),
    ],
)
def test_the_supervision_benchmarks_run_and_report_their_targets(
    name: str, row: int, samples: int, target: dict[str, object]
) -> None:
    done = subprocess.run(
        [sys.executable, str(RUN), name, "--quick", "--json"], capture_output=True, text=True, check=False
    )

    report = json.loads(done.stdout)
    assert samples == report["rows"][row]["samples"]
    assert target == report["rows"][row]["target"]
    assert (0 if all(each["met"] for each in report["rows"]) else 1) == done.returncode


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    done = subprocess.run([sys.executable, str(RUN), "nonsense"], capture_output=True, text=True, check=False)

    assert 2 == done.returncode
    assert "no benchmark named nonsense" in done.stderr
