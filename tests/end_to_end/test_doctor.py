"""`treewarden doctor` on real trees: beside a living runtime, and after one that was killed."""

import json
from collections.abc import Callable
from typing import Any

TREE = """\
version: 1
name: dev
children:
  - {id: a, kind: process, command: [sleep, "3601"]}
  - {id: b, kind: process, shell: true, command: "setsid sleep 3602 & exec sleep 3603"}
"""


def kinds(document: dict[str, Any]) -> list[str]:
    return [finding["kind"] for finding in document["findings"]]


def doctor(cli: Any, *words: str) -> tuple[int, dict[str, Any]]:
    done = cli.run("doctor", "--json", *words)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_beside_a_living_runtime_it_finds_nothing_and_treats_nothing(cli: Any) -> None:
    runtime = cli.up(cli.write(TREE))
    before = cli.wait_all_ready()

    code, looked = doctor(cli)
    refused = cli.run("doctor", "--fix")

    assert (code, looked["findings"]) == (0, [])
    assert (looked["state"]["runs"], looked["state"]["runtime"]) == (True, runtime.pid)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "`treewarden down" in refused.stderr
    assert cli.processes().keys() == before.keys()


def test_after_a_runtime_was_killed_the_next_one_adopts_what_a_look_and_a_dry_run_left(cli: Any) -> None:
    definition = cli.write(TREE)
    first = cli.up(definition)
    before = cli.wait_all_ready()
    first.kill()
    first.wait()

    for words in ((), ("--fix", "--dry-run")):
        code, looked = doctor(cli, *words)
        assert code == 1
        assert sorted(kinds(looked)) == ["process-left", "process-left", "runtime-killed", "socket-left"]
    cli.up(definition)
    after = cli.wait_all_ready()

    assert {path: view["pid"] for path, view in before.items()} == {path: view["pid"] for path, view in after.items()}


def test_fix_ends_what_a_killed_runtime_left_and_a_new_one_starts(cli: Any, wait_gone: Callable[[int], None]) -> None:
    definition = cli.write(TREE)
    first = cli.up(definition)
    before = cli.wait_all_ready()
    first.kill()
    first.wait()

    code, treated = doctor(cli, "--fix")

    assert code == 0, treated
    assert sorted(each["remedy"]["verb"] for each in treated["done"]) == ["end-process", "end-process", "remove-socket"]
    assert kinds(treated) == ["process-gone", "process-gone"]
    for view in before.values():
        wait_gone(view["pid"])
    assert cli.bearers() == {}
    assert doctor(cli, "--fix")[1]["done"] == []
    cli.up(definition)
    assert cli.wait_all_ready().keys() == before.keys()
    assert doctor(cli) == (0, doctor(cli)[1])


def test_after_an_orderly_end_nothing_is_wrong(cli: Any) -> None:
    cli.up(cli.write(TREE))
    cli.wait_all_ready()
    assert cli.run("down").returncode == 0

    assert doctor(cli)[1]["findings"] == []
