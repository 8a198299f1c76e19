"""Definitions become child specs, the starter is valid, and the public schema is the accepted one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from treewarden.actors import BRUTAL_KILL, INFINITY, Backoff, ChildSpec, Intensity, ManagedProcess, ProcessSpec, Restart
from treewarden.supervision_trees import definitions
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy
from treewarden.supervision_trees._supervisor import Supervisor
from treewarden.supervision_trees.definitions import (
    STARTER,
    Format,
    ProcessNode,
    TreeDefinition,
    child_spec,
    parse_definition,
    schema,
)

Read = Callable[[str], TreeDefinition]
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "definitions.md"


def test_a_definition_becomes_the_specs_one_would_write_by_hand(read: Read, counter: str) -> None:
    definition = read(f"""\
        version: 1
        name: dev
        intensity: {{restarts: 1, within: 1m}}
        children:
          - id: api
            kind: process
            command: [sh]
            restart: transient
            shutdown: brutal_kill
            start_timeout: 2s
            backoff: {{initial: 1s}}
            intensity: {{restarts: 9}}
          - id: group
            kind: supervisor
            needs: [api]
            shutdown: 1m
            strategy: rest_for_one
            auto_shutdown: any_significant
            children:
              - {{id: counter, kind: actor, class: "{counter}", args: {{id: mine, start: 3}},
                 restart: transient, significant: true}}
        """)
    group = definition.root.children[1]
    assert isinstance(group, definitions.SupervisorNode)
    (node,) = group.children
    assert isinstance(node, definitions.ActorNode)

    assert child_spec(definition) == ChildSpec.of(
        Supervisor,
        id="dev",
        strategy=Strategy.ONE_FOR_ONE,
        intensity=Intensity(1, 60.0),
        auto_shutdown=AutoShutdown.NEVER,
        children=(
            ChildSpec.of(
                ManagedProcess,
                ProcessSpec(command=("sh",), cwd=str(Path.cwd())),
                id="api",
                restart=Restart.TRANSIENT,
                shutdown=BRUTAL_KILL,
                start_timeout=2.0,
                backoff=Backoff(initial=1.0),
                intensity=Intensity(9, 5.0),
            ),
            ChildSpec.of(
                Supervisor,
                id="group",
                needs=("api",),
                shutdown=60.0,
                start_timeout=INFINITY,
                strategy=Strategy.REST_FOR_ONE,
                intensity=Intensity(3, 5.0),
                auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
                children=(
                    ChildSpec(
                        id=node.id,
                        actor_class=node.actor_class,
                        kwargs={"id": "mine", "start": 3},
                        restart=Restart.TRANSIENT,
                        significant=True,
                    ),
                ),
            ),
        ),
    )


def test_defaults_of_a_file_are_those_of_specs_written_in_code(read: Read) -> None:
    definition = read("""\
        version: 1
        name: dev
        children:
          - {id: a, kind: process, command: [sh], backoff: {}, intensity: {}}
          - {id: b, kind: supervisor}
        """)
    a, b = cast("tuple[ChildSpec, ...]", child_spec(definition).kwargs["children"])

    assert a == ChildSpec.of(
        ManagedProcess,
        ProcessSpec(command=("sh",), cwd=str(Path.cwd())),
        id="a",
        backoff=Backoff(),
        intensity=Intensity(),
    )
    assert b == ChildSpec.of(
        Supervisor,
        id="b",
        children=(),
        strategy=Strategy.ONE_FOR_ONE,
        intensity=Intensity(),
        auto_shutdown=AutoShutdown.NEVER,
    )


def test_the_starter_is_a_valid_definition_with_a_probed_server() -> None:
    definition = parse_definition(STARTER, source=None, format=Format.YAML)
    (web,) = definition.root.children
    assert isinstance(web, ProcessNode)
    assert isinstance(web.plan, ProcessSpec)

    assert web.plan.command[1:3] == ("-m", "http.server")
    assert web.plan.ready is not None
    assert web.plan.live is not None
    assert web.plan.env == {"PYTHONUNBUFFERED": "1"}


def test_the_schema_is_json_without_null_and_fresh_at_each_call() -> None:
    first = schema()
    first["$defs"].clear()

    text = json.dumps(schema())
    assert "null" not in text
    assert '"default": "5s"' in text
    assert "_UnknownChild" not in text


def documented() -> dict[str, dict[str, str]]:
    """The tables of the reference: for each heading, each field with its default."""
    tables: dict[str, dict[str, str]] = {}
    heading = ""
    for line in REFERENCE.read_text().splitlines():
        if line.startswith("### "):
            heading = line.removeprefix("### ")
        elif line.startswith("| `"):
            field, default = (cell.strip() for cell in line.split("|")[1:3])
            tables.setdefault(heading, {})[field.strip("`")] = default
    return tables


MODELS = {
    "File": ["File"],
    "ProcessFields": ["Every child", "Process"],
    "ActorFields": ["Every child", "Actor"],
    "SupervisorFields": ["Every child", "Supervisor"],
    "ReadyFields": ["Ready and live"],
    "LiveFields": ["Ready and live"],
    "IntensityFields": ["Intensity"],
    "BackoffFields": ["Backoff"],
}


def accepted(model: str) -> dict[str, dict[str, Any]]:
    """The fields the schema accepts in one mapping."""
    whole = schema()
    return cast("dict[str, dict[str, Any]]", (whole if model == "File" else whole["$defs"][model])["properties"])


@pytest.mark.parametrize("model", MODELS)
def test_the_reference_documents_exactly_the_fields_that_are_accepted(model: str) -> None:
    tables = documented()
    fields = {field for heading in MODELS[model] for field in tables[heading]}
    fields -= {"ReadyFields": {"failures"}, "LiveFields": {"within"}}.get(model, set())

    assert fields == set(accepted(model))


@pytest.mark.parametrize("model", MODELS)
def test_the_reference_shows_the_defaults_that_are_used(model: str) -> None:
    tables = documented()
    for field, properties in accepted(model).items():
        cells = [tables[heading][field] for heading in MODELS[model] if field in tables[heading]]
        default = properties.get("default")
        spelt = f"{default!s}".lower() if isinstance(default, bool) else f"{default}"
        assert default is None or any(f"`{spelt}`" in cell for cell in cells), f"{model}.{field}: {cells} not {spelt}"


def test_every_mapping_of_the_schema_is_in_the_reference() -> None:
    assert set(schema()["$defs"]) | {"File"} == set(MODELS)
    assert {heading for headings in MODELS.values() for heading in headings} == set(documented())


def test_the_public_names_are_these() -> None:
    assert definitions.__all__ == [
        "STARTER",
        "ActorNode",
        "Complaint",
        "DefinitionErrors",
        "Format",
        "Node",
        "ProcessNode",
        "ProcessTemplate",
        "SupervisorNode",
        "TreeDefinition",
        "child_spec",
        "definition_text",
        "load_definition",
        "parse_definition",
        "schema",
    ]
