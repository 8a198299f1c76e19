"""Crash loops have brakes, and say what happened."""

import re
from typing import Any

CRASH_LOOP = """\
version: 1
name: dev
intensity: {restarts: 3, within: 10s}
children:
  - {id: steady, kind: process, command: [sleep, "3600"]}
  - id: flaky
    kind: process
    shell: true
    command: echo "no database at db:5432" >&2; exit 1
    backoff: {initial: 20ms, max: 1s, factor: 2, jitter: 0}
"""


def test_a_crash_loop_is_restarted_within_its_budget_with_backoff_then_the_tree_ends_with_the_log(cli: Any) -> None:
    runtime = cli.up(cli.write(CRASH_LOOP))

    assert 1 == runtime.wait(timeout=30)

    said = (cli.folder / "up.log").read_text()
    delays = re.findall(r"/dev/flaky is restarted in ([\d.]+) s", said)
    assert ["0.02", "0.04", "0.08"] == delays
    assert 4 == len(re.findall(r"/dev/flaky runs as pid", said))
    assert "/dev gave up: /dev/flaky needed 4 restarts within 10 s, 3 are allowed" in said
    assert "exit code 1" in said
    assert "last lines of the log of /dev/flaky:" in said
    assert "  | no database at db:5432" in said
    assert {} == cli.bearers()
    assert not cli.processes()


def test_a_supervisor_that_gives_up_is_restarted_by_its_parent_until_that_gives_up_too(cli: Any) -> None:
    definition = cli.write(
        """\
version: 1
name: dev
intensity: {restarts: 1, within: 30s}
children:
  - id: group
    kind: supervisor
    intensity: {restarts: 1, within: 30s}
    children:
      - {id: flaky, kind: process, shell: true, command: exit 3}
"""
    )

    runtime = cli.up(definition)

    assert 1 == runtime.wait(timeout=30)
    said = (cli.folder / "up.log").read_text()
    assert 4 == len(re.findall(r"/dev/group/flaky runs as pid", said))
    assert "/dev restarts it" in said
    assert "/dev/group gave up: /dev/group/flaky needed 2 restarts within 30 s, 1 are allowed" in said
    assert "exit code 3" in said


def test_a_process_that_never_becomes_ready_is_restarted_and_then_given_up(cli: Any) -> None:
    definition = cli.write(
        """\
version: 1
name: dev
intensity: {restarts: 1, within: 30s}
children:
  - id: deaf
    kind: process
    command: [sleep, "3600"]
    ready: {tcp: "127.0.0.1:1", every: 50ms, within: 200ms}
"""
    )

    runtime = cli.up(definition)

    assert 1 == runtime.wait(timeout=30)
    said = (cli.folder / "up.log").read_text()
    assert "/dev/deaf is not ready" in said
    assert "connection refused" in said
    assert "unresponsive after 0.2 s" in said
