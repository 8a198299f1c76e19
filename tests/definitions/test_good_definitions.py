"""Right definitions become exactly these values."""

from collections.abc import Callable
from pathlib import Path

import pytest

from treewarden.actors import (
    BRUTAL_KILL,
    INFINITY,
    Backoff,
    ChildId,
    CommandProbe,
    FromEnv,
    HttpProbe,
    Intensity,
    Liveness,
    ProcessSpec,
    Readiness,
    Restart,
    TcpProbe,
)
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy
from treewarden.supervision_trees.definitions import (
    ActorNode,
    Format,
    ProcessNode,
    SupervisorNode,
    TreeDefinition,
    load_definition,
    parse_definition,
)

Read = Callable[[str], TreeDefinition]


def only_child(definition: TreeDefinition) -> ProcessNode | ActorNode | SupervisorNode:
    (child,) = definition.root.children
    return child


def spec_of(definition: TreeDefinition) -> ProcessSpec:
    child = only_child(definition)
    assert isinstance(child, ProcessNode)
    assert isinstance(child.plan, ProcessSpec)
    return child.plan


def test_what_a_file_leaves_out_has_the_documented_defaults(read: Read) -> None:
    definition = read("{version: 1, name: dev, children: [{id: api, kind: process, command: [sh]}]}")

    assert definition == TreeDefinition(
        name=ChildId("dev"),
        source=Path("tree.yaml"),
        text_digest="90353aae3776c0c8734d66407a228f6fcb454feb43c5d9875e22edb23cc06be3",
        root=SupervisorNode(
            id=ChildId("dev"),
            restart=Restart.PERMANENT,
            significant=False,
            shutdown=INFINITY,
            start_timeout=INFINITY,
            needs=(),
            backoff=None,
            strategy=Strategy.ONE_FOR_ONE,
            intensity=Intensity(3, 5.0),
            auto_shutdown=AutoShutdown.NEVER,
            children=(
                ProcessNode(
                    id=ChildId("api"),
                    restart=Restart.PERMANENT,
                    significant=False,
                    shutdown=5.0,
                    start_timeout=30.0,
                    needs=(),
                    backoff=None,
                    intensity=None,
                    plan=ProcessSpec(command=("sh",), cwd=str(Path.cwd())),
                ),
            ),
        ),
    )


def test_every_field_of_a_process_arrives(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TW_TEST_TOKEN", "secret")
    definition = read("""\
        version: 1
        name: dev
        intensity: {restarts: 0, within: 2h}
        children:
          - {id: db, kind: supervisor}
          - id: api
            kind: process
            needs: [db, db]
            restart: transient
            backoff: {initial: 0s, max: 1m, factor: 3, jitter: 0, reset_after: 90s}
            intensity: {restarts: 5}
            shutdown: brutal_kill
            start_timeout: infinity
            command: [sh, -c, "echo $${HOME}"]
            cwd: /
            env: {TEXT: "$${x}", NUMBER: 8000, VERSION: 3.10, UMASK: 0022, TOKEN: {from_env: TW_TEST_TOKEN}}
            ports: [8000, 8001]
            success_codes: [0, 143]
            ready: {http: "https://[::1]:8000/x", status: 204, every: 250ms, timeout: 1s, within: 5m}
            live: {tcp: "localhost:8000", failures: 5}
        """)

    assert definition.root.intensity == Intensity(0, 7200.0)
    assert definition.root.children[1] == ProcessNode(
        id=ChildId("api"),
        restart=Restart.TRANSIENT,
        significant=False,
        shutdown=BRUTAL_KILL,
        start_timeout=INFINITY,
        needs=(ChildId("db"),),
        backoff=Backoff(initial=0.0, max=60.0, factor=3.0, jitter=0.0, reset_after=90.0),
        intensity=Intensity(5, 5.0),
        plan=ProcessSpec(
            command=("sh", "-c", "echo ${HOME}"),
            cwd="/",
            env={
                "TEXT": "${x}",
                "NUMBER": "8000",
                "VERSION": "3.10",
                "UMASK": "0022",
                "TOKEN": FromEnv("TW_TEST_TOKEN"),
            },
            ports=(8000, 8001),
            ready=Readiness(HttpProbe("https://[::1]:8000/x", 204), every=0.25, timeout=1.0, within=300.0),
            live=Liveness(TcpProbe("localhost", 8000), every=1.0, timeout=2.0, failures=5),
            success_codes=frozenset({0, 143}),
        ),
    )


def test_a_line_for_the_shell_is_run_by_bin_sh(read: Read) -> None:
    definition = read("{version: 1, name: d, children: [{id: a, kind: process, shell: true, command: ls | wc}]}")

    assert spec_of(definition).command == ("/bin/sh", "-c", "ls | wc")


def test_a_command_probe_runs_where_its_process_runs_and_without_its_secrets(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TW_TEST_TOKEN", "secret")
    definition = read("""\
        version: 1
        name: dev
        children:
          - id: api
            kind: process
            command: [sh]
            cwd: /tmp
            env: {PORT: 8000, TOKEN: {from_env: TW_TEST_TOKEN}}
            ready: {command: [test, -e, ready]}
        """)

    assert spec_of(definition).ready == Readiness(CommandProbe(("test", "-e", "ready"), "/tmp", {"PORT": "8000"}))


def test_an_actor_gets_its_class_and_arguments_that_nobody_can_change(read: Read, counter: str) -> None:
    definition = read(f"""\
        version: 1
        name: dev
        children:
          - id: counter
            kind: actor
            class: "{counter}"
            args: {{start: 3, id: "$${{x}}", steps: [1, [2, 3.5]]}}
        """)
    node = only_child(definition)
    assert isinstance(node, ActorNode)

    assert node.actor_class.__name__ == "Counter"
    assert node.args == {"start": 3, "id": "${x}", "steps": (1, (2, 3.5))}
    assert [type(value) for value in node.args.values()] == [int, str, tuple]
    with pytest.raises(TypeError):
        node.args["start"] = 4  # type: ignore[index]  # pyright: ignore[reportIndexIssue] - that is the point


def test_the_paths_of_processes_come_in_start_order(read: Read, counter: str) -> None:
    definition = read(f"""\
        version: 1
        name: dev
        children:
          - {{id: a, kind: process, command: [sh]}}
          - id: group
            kind: supervisor
            children:
              - {{id: b, kind: process, command: [sh]}}
              - {{id: counter, kind: actor, class: "{counter}"}}
              - {{id: inner, kind: supervisor, children: [{{id: c, kind: process, command: [sh]}}]}}
          - {{id: d, kind: process, command: [sh]}}
        """)

    assert definition.processes() == ("/dev/a", "/dev/group/b", "/dev/group/inner/c", "/dev/d")


def test_yaml_toml_and_json_say_the_same(tmp_path: Path) -> None:
    yaml = (
        "version: 1\nname: dev\nchildren:\n  - {id: a, kind: process, command: [sh], env: {V: 1.10},"
        " backoff: {factor: 2.50}}\n"
    )
    toml = (
        'version = 1\nname = "dev"\n[[children]]\nid = "a"\nkind = "process"\ncommand = ["sh"]\n'
        "env.V = 1.10\n[children.backoff]\nfactor = 2.50\n"
    )
    json = (
        '{"version": 1, "name": "dev", "children":\t[{"id": "a", "kind": "process", "command": ["sh"],'
        ' "env": {"V": 1.10}, "backoff": {"factor": 2.50}}]}'
    )
    roots: list[SupervisorNode] = []
    for name, text in (("t.yaml", yaml), ("t.yml", yaml), ("t.toml", toml), ("t.JSON", json)):
        path = tmp_path / name
        path.write_text(text)
        definition = load_definition(path)
        assert definition.source == path
        roots.append(definition.root)

    assert all(root == roots[0] for root in roots)
    assert spec_of(load_definition(tmp_path / "t.toml")).env == {"V": "1.10"}


def test_the_digest_tells_one_text_from_another(read: Read) -> None:
    text = "{version: 1, name: dev}"

    assert read(text).text_digest == read(text).text_digest
    assert read(text).text_digest != read(text + " ").text_digest


def test_an_anchored_value_may_be_used_again(read: Read) -> None:
    definition = read("""\
        version: 1
        name: dev
        children:
          - {id: a, kind: process, command: &sh [sh], env: &env {A: b}}
          - {id: b, kind: process, command: *sh, env: *env}
        """)
    first, second = definition.root.children
    assert isinstance(first, ProcessNode)
    assert isinstance(second, ProcessNode)

    assert first.plan == second.plan == ProcessSpec(command=("sh",), cwd=str(Path.cwd()), env={"A": "b"})


def test_text_without_a_file_has_no_source() -> None:
    assert parse_definition('{"version": 1, "name": "d"}', source=None, format=Format.JSON).source is None
