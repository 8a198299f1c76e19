"""The benchmarks run, and what they find is judged and written down; the suite itself judges no time."""

import importlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
RUN = FOLDER / "run.py"

BENCHMARKS = [
    "tell",
    "ask",
    "ask-inline",
    "actor-ask",
    "ring",
    "start-child",
    "memory",
    "scale",
    "crash-restart",
    "restart-group",
    "crash-memory",
    "respawn",
    "snapshots",
    "recovery",
    "checkpoint",
    "timers",
    "fairness",
    "stress",
    "idle",
    "import",
    "cli-help",
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(RUN), *arguments], capture_output=True, text=True, check=False)


def module(name: str) -> ModuleType:
    """One of the benchmarks' modules, which import each other by their bare names."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def measure() -> ModuleType:
    return module("measure")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_at_a_tiny_size_and_yields_rows_with_samples(name: str) -> None:
    done = run(name, "--tiny", "--json")

    report = json.loads(done.stdout)
    measured = [row for row in report["rows"] if "skipped" not in row]
    assert measured
    assert [row for row in measured if not row["samples"]] == []
    assert [row["skipped"] for row in report["rows"] if "failed" in row.get("skipped", "")] == []
    assert (0 if all(row["must"]["met"] for row in measured if "must" in row) else 1) == done.returncode, done.stderr


def test_every_benchmark_is_run_by_a_test() -> None:
    assert BENCHMARKS == [*module("run").BENCHMARKS]


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    done = run("nonsense")

    assert 2 == done.returncode
    assert "no benchmark named nonsense; there is: tell, ask, " in done.stderr


def test_a_run_that_is_interrupted_ends_with_all_that_it_started() -> None:
    with subprocess.Popen([sys.executable, str(RUN), "tell"], stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert any("tell: round 1" in line for line in running.stderr)
        contenders = psutil.Process(running.pid).children()
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()

    assert 130 == running.returncode
    assert said.endswith("interrupted; nothing is reported\n")
    assert contenders
    assert [contender for contender in contenders if contender.is_running()] == []


@pytest.mark.parametrize(
    ("figure", "bounds", "is_met"),
    [
        ("p50", {"at_most": 2.0}, True),
        ("p50", {"at_most": 1.9}, False),
        ("p50", {"at_least": 2.0}, True),
        ("p50", {"at_least": 2.1}, False),
        ("p99", {"at_most": 2.9}, False),
        ("p99", {"at_most": 3.0}, True),
        ("min", {"at_least": 1.0}, True),
        ("max", {"at_most": 3.0}, True),
        ("max", {"at_least": 1.0, "at_most": 2.0}, False),
        ("ratio", {"at_least": 0.5}, True),
        ("ratio", {"at_least": 0.6}, False),
    ],
)
def test_a_target_is_met_by_its_figure_alone(
    measure: ModuleType, figure: str, bounds: dict[str, float], is_met: bool
) -> None:
    row = measure.Row("x", "ms", [1.0, 2.0, 3.0], must=measure.Target(figure, **bounds), base=[2.0, 8.0, 6.0])

    assert is_met == row.is_met()


def test_a_ratio_is_that_of_the_rounds_not_of_the_medians(measure: ModuleType) -> None:
    """A machine that slows down for a round slows both down."""
    row = measure.Row("x", "/s", [100.0, 10.0, 50.0], base=[10.0, 1.0, 25.0])

    assert 10.0 == row.figures()["ratio"]


def test_an_aim_that_is_not_reached_fails_nothing(measure: ModuleType) -> None:
    row = measure.Row("x", "/s", [1.0], aim=measure.Target("p50", at_least=2.0))

    assert row.is_met()
    assert not row.reaches(row.aim)


def test_a_benchmark_that_failed_counts_as_missed(measure: ModuleType) -> None:
    row = measure.Row.failed("x", TimeoutError("not done"))

    assert not row.is_met()
    assert "failed: TimeoutError: not done" == row.skipped


def test_a_peer_that_is_not_installed_is_skipped_with_the_reason(measure: ModuleType) -> None:
    ours, absent = module("contest").contest("tell", measure.TINY, contenders=("treewarden", "absent"))

    assert 1 == len(ours.samples)
    assert "not installed (No module named 'peers.absent_peer')" == absent.skipped
    assert absent.is_met()


@pytest.fixture
def report(measure: ModuleType) -> Any:
    must, aim = measure.Target("ratio", at_least=10.0), measure.Target("p50", at_least=2_000_000)
    rows = [
        measure.Row(
            "tell: treewarden", "/s", [1_000_000.0, 1_234_567.0], must=must, aim=aim, base=[50_000.0, 60_000.0]
        ),
        measure.Row("tell: absent", "/s", skipped="not installed"),
        measure.Row("wait", "ms", [0.1234, 7.0], must=measure.Target("p99", at_most=5.0)),
    ]
    sections = [module("report").Section("tell", "Messages a second.", rows)]
    return module("report").Report(
        sections, {"date": "2026-01-02", "machine": "2 cores", "command": "run.py --write x"}
    )


def test_the_page_says_what_was_run_and_shows_each_row_with_its_verdict(report: Any) -> None:
    page = report.page()

    assert "| date | 2026-01-02 |" in page
    assert "| command | `run.py --write x` |" in page
    assert (
        "| tell: treewarden | /s | 1,117,284 | 1,000,000 | 1,234,567 | 20.3 | ratio >= 10: met | median >= 2,000,000: not yet |"
        in page
    )
    assert "| wait | ms | 3.56 | 0.123 | 7 |  | p99 <= 5 (is 7): **missed** |  |" in page
    assert "- tell: absent: skipped, not installed" in page
    assert "1 of 2 targets that must be reached are. Missed:\n\n- wait\n" in page
    assert "## tell\n\nMessages a second.\n\n| what " in page
    assert report.page() == page


def test_the_terminal_shows_the_same_rows(report: Any) -> None:
    lines = report.table().splitlines()

    assert re.search(
        r"^tell: treewarden .* 20\.3 /s  must ratio >= 10: met; aim median >= 2,000,000: not yet$", lines[2]
    )
    assert re.search(r"^tell: absent +skipped: not installed$", lines[3])
    assert re.search(r"^wait .* ms  must p99 <= 5: MISSED$", lines[4])
    assert not report.is_met()


def test_the_page_is_written_where_the_command_line_says(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"

    run("import", "--tiny", "--write", str(page))

    assert page.read_text().startswith("# Performance\n")
    assert f"import --tiny --write {page}" in page.read_text()
