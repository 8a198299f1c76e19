"""Differences of specs as a plan names them: fields of the file, and never what a secret may hide in."""

from pathlib import Path

import pytest

from treewarden.actors import ChildSpec
from treewarden.supervision_trees._difference import group_of, same_spec, start_changes
from treewarden.supervision_trees.definitions import Format, child_spec, parse_definition


def spec(fields: str) -> ChildSpec:
    """The process `api` with these fields; `db` is its sibling."""
    text = (
        "version: 1\nname: dev\nchildren:\n"
        "  - {id: db, kind: process, command: [sh]}\n"
        f"  - {{id: api, kind: process, command: [sh, '-c', x], needs: [db]{fields}}}\n"
    )
    definition = parse_definition(text, source=Path("/tree.yaml"), format=Format.YAML)
    group = group_of(child_spec(definition))
    assert group is not None
    return group.children[1]


PLAIN = ""
REFERS = ", env: {PID: '${db.pid}', MODE: dev}"


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        (PLAIN, ", cwd: /tmp", ("cwd",)),
        (PLAIN, ", ports: [80]", ("ports",)),
        (PLAIN, ", success_codes: [0, 3]", ("success_codes",)),
        (PLAIN, ", ready: {tcp: 'h:1'}", ("ready",)),
        (", ready: {tcp: 'h:1'}", ", ready: {tcp: 'h:1', every: 2s}", ("ready",)),
        (", live: {http: 'http://h/'}", ", live: {http: 'http://h/', failures: 1}", ("live",)),
        (", env: {A: x, B: y}", ", env: {B: z, C: y}", ("env.A", "env.B", "env.C")),
        (", env: {B: y, A: x}", ", env: {A: x, B: y}", ()),
        (PLAIN, REFERS, ("env.PID", "env.MODE")),
        (", env: {MODE: dev, PID: '1'}", REFERS, ("env.PID",)),
        (REFERS, REFERS, ()),
        (REFERS, REFERS.replace("db.pid", "db.log"), ("env.PID",)),
        (REFERS, f"{REFERS}, ready: {{tcp: 'h:1'}}", ("ready",)),
        (", ready: {tcp: 'h:1'}", ", ready: {command: [test, '${db.pid}']}", ("references",)),
        (", restart: transient", ", restart: transient, backoff: {}", ()),
    ],
)
def test_a_process_is_started_anew_for_these_fields(old: str, new: str, names: tuple[str, ...]) -> None:
    assert names == start_changes(spec(old), spec(new))


def test_a_value_from_the_environment_is_compared_by_the_variables_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TW_ONE", "s3cr3t")
    monkeypatch.setenv("TW_TWO", "s3cr3t")

    assert same_spec(spec(", env: {T: {from_env: TW_ONE}}"), spec(", env: {T: {from_env: TW_ONE}}"))
    assert ("env.T",) == start_changes(spec(", env: {T: {from_env: TW_ONE}}"), spec(", env: {T: {from_env: TW_TWO}}"))
