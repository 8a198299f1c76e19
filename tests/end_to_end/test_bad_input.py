"""Bad input is refused with one clear message, and nothing is started."""

import os
from pathlib import Path
from typing import Any

import pytest

from treewarden.storage import LmdbStore, Put

ONE_PROCESS = 'version: 1\nname: dev\nchildren:\n  - {id: a, kind: process, command: [sleep, "3600"]}\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(ONE_PROCESS + "colour: red\n", "colour", id="unknown key"),
        pytest.param(ONE_PROCESS.replace('[sleep, "3600"]', "7"), "7", id="wrong type"),
        pytest.param(ONE_PROCESS + '  - {id: a, kind: process, command: [sleep, "1"]}\n', "'a'", id="duplicate id"),
        pytest.param(ONE_PROCESS.replace("sleep", "no-such-program"), "no-such-program", id="missing executable"),
        pytest.param(ONE_PROCESS.replace('"3600"', '"${b.pid}"'), "${b.pid}", id="unknown reference"),
        pytest.param(
            "version: 1\nname: dev\nchildren:\n"
            '  - {id: a, kind: process, command: [sleep, "1"], needs: [b]}\n'
            '  - {id: b, kind: process, command: [sleep, "1"], needs: [a]}\n',
            "a -> b -> a",
            id="cycle in needs",
        ),
        pytest.param(ONE_PROCESS.replace('"3600"]', '"3600"], ports: [70000]'), "70000", id="port out of range"),
    ],
)
def test_a_definition_with_a_mistake_is_refused_naming_it_and_nothing_starts(
    cli: Any, text: str, complaint: str
) -> None:
    definition = cli.write(text)

    done = cli.run("up", str(definition))

    assert 1 == done.returncode
    assert f"{definition.name}:" in done.stderr
    assert complaint in done.stderr
    assert "expected" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (cli.state / "store").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_to_read_is_refused(cli: Any) -> None:
    definition = cli.write(ONE_PROCESS)
    definition.chmod(0)

    done = cli.run("up", str(definition))

    assert done.returncode in (1, 2)
    assert "tree.yaml" in done.stderr
    assert "not readable" in done.stderr
    assert not (cli.state / "store").exists()


@pytest.mark.parametrize("make", ["nothing", "directory", "binary"])
def test_a_file_that_cannot_be_read_is_refused(cli: Any, make: str) -> None:
    path: Path = cli.folder / "tree.yaml"
    if make == "directory":
        path.mkdir()
    elif make == "binary":
        path.write_bytes(b"\xff\xfe\x00\x01")

    done = cli.run("up", str(path))

    assert done.returncode in (1, 2)
    assert "tree.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (cli.state / "store").exists()


def test_a_state_directory_owned_by_a_living_runtime_is_refused_naming_it(cli: Any) -> None:
    definition = cli.write(ONE_PROCESS)
    first = cli.up(definition)
    before = cli.wait_all_ready()

    done = cli.run("up", str(definition))

    assert 1 == done.returncode
    assert str(first.pid) in done.stderr
    assert "treewarden down" in done.stderr
    assert before.keys() == cli.processes().keys()
    assert before["/dev/a"]["pid"] == cli.processes()["/dev/a"]["pid"]


def test_a_corrupt_record_is_named_kept_and_never_taken_for_empty(cli: Any) -> None:
    """The record of a living process is damaged while no runtime runs: a second one must not start beside it."""
    definition = cli.write(ONE_PROCESS)
    first = cli.up(definition)
    pid = cli.wait_all_ready()["/dev/a"]["pid"]
    first.kill()
    first.wait()
    damage(cli.state / "store")

    for _ in range(2):  # set aside once, refused for as long as nobody decided
        done = cli.run("up", str(definition))
        assert 1 == done.returncode
        assert "/dev/a" in done.stderr
        assert "corrupt" in done.stderr
        assert "--discard-state /dev/a" in done.stderr
        assert [pid] == cli.bearers()["/dev/a"]

    cli.up(definition, "--discard-state", "/dev/a")
    after = cli.wait_all_ready()

    assert pid != after["/dev/a"]["pid"]
    assert {"/dev/a": [after["/dev/a"]["pid"]]} == cli.bearers()


def test_a_record_of_another_shape_is_refused_by_name(cli: Any) -> None:
    store = LmdbStore.open(cli.state / "store")
    store.commit([Put("/dev/a", "treewarden.process", 1, 1, {"pid": "many"})]).result()
    store.close()

    done = cli.run("up", str(cli.write(ONE_PROCESS)))

    assert 1 == done.returncode
    assert "/dev/a" in done.stderr
    assert "Traceback" not in done.stderr


def test_living_processes_of_another_tree_are_not_touched(cli: Any) -> None:
    first = cli.up(cli.write(ONE_PROCESS))
    pid = cli.wait_all_ready()["/dev/a"]["pid"]
    first.kill()
    first.wait()

    done = cli.run("up", str(cli.write(ONE_PROCESS.replace("name: dev", "name: prod"), "other.yaml")))

    assert 1 == done.returncode
    assert "/dev" in done.stderr
    assert str(pid) in done.stderr
    assert [pid] == cli.bearers()["/dev/a"]


def damage(store: Path) -> None:
    """Flip one byte in the body of every process record in the data file, as a failing disk would."""
    data, body = store / "data.mdb", b"fingerprint"
    content = bytearray(data.read_bytes())
    assert body in content
    data.write_bytes(content.replace(body, b"fingerprinT"))
