"""`treewarden store` beside a runtime that writes, and what comes back from its backup."""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

Processes: TypeAlias = dict[str, dict[str, Any]]

TREE = """\
version: 1
name: dev
intensity: {restarts: 100000, within: 10s}
children:
  - {id: steady, kind: process, command: [sleep, "3601"]}
  - {id: busy, kind: process, command: [sleep, "0.01"], backoff: {initial: 1ms, max: 10ms}}
"""


def restarted(times: int) -> Callable[[Processes], bool]:
    """Whether `busy` was restarted more than so often."""
    return lambda found: bool(found["/dev/busy"]["restarts"] > times)


def test_a_running_tree_is_backed_up_while_it_writes_and_comes_back_from_that(cli: Any) -> None:
    """Every start and end of a process is a record; `busy` makes dozens a second."""
    started = cli.run("up", str(cli.write(TREE)), "--detach")
    assert started.returncode == 0, started.stderr
    try:
        before = cli.wait_processes(restarted(3))
        for number in range(3):
            restarts = cli.processes()["/dev/busy"]["restarts"]
            done = cli.run("store", "backup", str(cli.folder / f"backup-{number}"), "--json")
            assert (done.returncode, done.stderr) == (0, "")
            assert json.loads(done.stdout)["problems"] == []
            cli.wait_processes(restarted(restarts))
        looked, verified, refused = cli.run("store", "stats"), cli.run("store", "verify"), cli.run("store", "compact")
        assert (looked.returncode, verified.returncode, verified.stderr) == (0, 0, "")
        assert refused.returncode == 1
        assert "tree '/dev'" in refused.stderr
        assert cli.processes()["/dev/steady"]["pid"] == before["/dev/steady"]["pid"]
    finally:
        ended = cli.run("down")
    assert ended.returncode == 0, ended.stderr

    restored = cli.run("store", "restore", str(cli.folder / "backup-2"))
    assert (restored.returncode, restored.stderr) == (0, "")
    assert "store.replaced-1" in restored.stdout
    cli.up(cli.folder / "tree.yaml")
    after = cli.wait_processes(restarted(1))

    assert after["/dev/steady"]["pid"] != before["/dev/steady"]["pid"]
    assert cli.run("store", "verify").returncode == 0
