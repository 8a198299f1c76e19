"""References: what they mean, what they make children need, and how they are filled in at a start."""

from collections.abc import Callable, Mapping

import pytest

from treewarden.actors import ActorPath, CommandProbe, HttpProbe, Liveness, Readiness, TcpProbe
from treewarden.supervision_trees.definitions import ProcessNode, ProcessTemplate, SupervisorNode, TreeDefinition

Read = Callable[[str], TreeDefinition]


class KnownFacts:
    """Facts written down in a test, as `path.name`."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known

    def fact(self, path: ActorPath, name: str) -> str:
        try:
            return self._known[f"{path}.{name}"]
        except KeyError:
            raise LookupError(f"nothing is known of {path}") from None


def template_of(node: object) -> ProcessTemplate:
    assert isinstance(node, ProcessNode)
    assert isinstance(node.plan, ProcessTemplate)
    return node.plan


def test_a_reference_is_filled_in_wherever_it_may_stand(read: Read) -> None:
    definition = read("""\
        version: 1
        name: dev
        children:
          - {id: db, kind: process, command: [sh]}
          - id: api
            kind: process
            command: [sh, "--pid=${db.pid}", "$${x}", "${db.pid}${db.log}"]
            cwd: "${db.log}.d"
            env: {DB: "${db.pid}"}
            ready: {http: "http://h/${db.pid}"}
            live: {command: [test, "${db.pid}"]}
        """)
    plan = template_of(definition.root.children[1])
    spec = plan.resolve(KnownFacts({"/dev/db.pid": "42", "/dev/db.log": "/logs/${db.pid}"}))

    # A value that looks like a reference is a value.
    assert spec.command == ("sh", "--pid=42", "${x}", "42/logs/${db.pid}")
    assert spec.cwd == "/logs/${db.pid}.d"
    assert spec.env == {"DB": "42"}
    assert spec.ready == Readiness(HttpProbe("http://h/42"))
    assert spec.live == Liveness(CommandProbe(("test", "42"), spec.cwd, {"DB": "42"}))


def test_each_start_asks_for_the_facts_of_that_moment(read: Read) -> None:
    definition = read("""\
        version: 1
        name: dev
        children:
          - {id: db, kind: process, command: [sh]}
          - {id: api, kind: process, command: [sh, "${db.pid}"], live: {tcp: "h:${db.pid}"}}
        """)
    plan = template_of(definition.root.children[1])

    for pid in (42, 43):
        spec = plan.resolve(KnownFacts({"/dev/db.pid": str(pid)}))
        assert spec.command == ("sh", str(pid))
        assert spec.live == Liveness(TcpProbe("h", pid))


def test_a_fact_that_is_not_known_is_a_lookup_error_and_a_senseless_target_a_value_error(read: Read) -> None:
    definition = read("""\
        version: 1
        name: dev
        children:
          - {id: db, kind: process, command: [sh]}
          - {id: api, kind: process, command: [sh], ready: {tcp: "h:${db.pid}"}}
        """)
    plan = template_of(definition.root.children[1])

    with pytest.raises(LookupError, match="nothing is known of /dev/db"):
        plan.resolve(KnownFacts({}))
    with pytest.raises(ValueError, match='"host:port" with a port'):
        plan.resolve(KnownFacts({"/dev/db.pid": "99999"}))


def test_the_nearest_child_of_that_name_is_meant(read: Read) -> None:
    definition = read("""\
        version: 1
        name: dev
        children:
          - {id: db, kind: process, command: [sh]}
          - {id: other, kind: process, command: [sh]}
          - id: group
            kind: supervisor
            children:
              - {id: db, kind: process, command: [sh]}
              - {id: api, kind: process, command: [sh, "${db.pid}", "${other.pid}"]}
        """)
    group = definition.root.children[2]
    assert isinstance(group, SupervisorNode)
    spec = template_of(group.children[1]).resolve(
        KnownFacts({"/dev/group/db.pid": "1", "/dev/db.pid": "2", "/dev/other.pid": "3"})
    )

    assert spec.command == ("sh", "1", "3")


def test_a_reference_makes_the_child_at_the_targets_level_need_it(read: Read) -> None:
    definition = read("""\
        version: 1
        name: dev
        children:
          - id: group
            kind: supervisor
            needs: [first]
            children:
              - {id: near, kind: process, command: [sh]}
              - {id: api, kind: process, command: [sh, "${late.pid}", "${near.pid}"]}
          - {id: late, kind: process, command: [sh]}
          - {id: first, kind: process, command: [sh]}
        """)
    group = definition.root.children[0]
    assert isinstance(group, SupervisorNode)

    assert group.needs == ("first", "late")
    assert [child.needs for child in group.children] == [(), ("near",)]


def test_an_id_with_dots_can_be_referred_to(read: Read) -> None:
    definition = read("""\
        version: 1
        name: dev
        children:
          - {id: db.v1, kind: process, command: [sh]}
          - {id: api, kind: process, command: [sh, "${db.v1.pid}"]}
        """)
    spec = template_of(definition.root.children[1]).resolve(KnownFacts({"/dev/db.v1.pid": "7"}))

    assert spec.command == ("sh", "7")
