"""What restoring a checkpoint writes: a plan over values, and its effect on both stores."""

from collections.abc import Mapping
from typing import Protocol

import pytest

from treewarden.storage import (
    ActorEntry,
    Content,
    Discard,
    HolderIdentity,
    KeptTimer,
    Operation,
    Put,
    Quarantine,
    RestorePlan,
    Snapshot,
    SnapshotCorrupt,
    SnapshotStore,
    pack,
    restore_operations,
    unpack,
)

SCHEMA = "actor:app:Counter"
LIVING, DEAD = HolderIdentity(1, 2, "boot"), HolderIdentity(3, 4, "boot")


class Bench(Protocol):
    @property
    def store(self) -> SnapshotStore: ...

    def commit(self, *operations: Operation) -> int: ...


def entry(name: str, state: object, *, holder: HolderIdentity | None = None, schema: str = SCHEMA) -> ActorEntry:
    return ActorEntry(f"/app/{name}", schema, 1, pack("/", state), holder=holder)


def content(*entries: ActorEntry) -> Content:
    return Content("/app", {each.path: each for each in entries}, {})


def plan(found: Content, current: Mapping[str, str | None] | None = None) -> RestorePlan:
    return restore_operations(found, current=current or {}, holder_is_alive=lambda holder: holder == LIVING)


def kept(store: SnapshotStore) -> dict[str, object]:
    """Each path that is stored with its state."""
    return {found.path: found.state for found in store.scan() if isinstance(found, Snapshot)}


def stored(store: SnapshotStore) -> dict[str, str | None]:
    """Each path that is stored with its schema, as a caller of `restore_operations` looks it up."""
    return {found.path: None if isinstance(found, SnapshotCorrupt) else found.schema for found in store.scan()}


def test_a_state_becomes_the_newest_snapshot_of_its_path() -> None:
    found = plan(content(entry("a", {"count": 1})))

    assert found.operations == (Put("/app/a", SCHEMA, 1, 0, pack("/", {"count": 1})),)
    assert (found.states, found.mailboxes, found.dropped, found.forgotten) == (("/app/a",), (), (), ())
    assert (found.leases_not_restored, found.left_alone) == ((), ())


def test_what_came_since_is_discarded_and_no_union_of_then_and_now_is_left(bench: Bench) -> None:
    """CK11."""
    found = content(entry("a", 1), ActorEntry("/app/b", None, 0, None))
    for path, state in (("/app/a", 2), ("/app/b", "kept state since"), ("/app/new", 3), ("/other/x", 4)):
        bench.commit(Put(path, SCHEMA, 1, 1, state))

    made = plan(found, stored(bench.store))
    bench.commit(*made.operations)

    assert kept(bench.store) == {"/app/a": 1, "/other/x": 4}
    assert made.dropped == ("/app/b", "/app/new")


def test_waiting_messages_and_timers_lie_in_the_mailbox_record_once_and_not_packed_again(bench: Bench) -> None:
    """CK6: however often it is restored."""
    job, tick = pack("/", "job1"), pack("/", "tick")
    found = content(
        ActorEntry("/app/a", None, 0, None, queue=(job, job), timers=(KeptTimer(2.5, None, tick),)),
        entry("b", 1),
    )
    bench.commit(Put("/app/b#mailbox", "mailbox", 1, 1, {"queue": [b"since"], "timers": []}))

    for _ in range(3):
        bench.commit(*plan(found, stored(bench.store)).operations)

    assert kept(bench.store) == {
        "/app/a#mailbox": {"scope": "/app", "queue": [job.body, job.body], "timers": [[2.5, None, tick.body]]},
        "/app/b": 1,
    }
    assert plan(found).mailboxes == ("/app/a",)
    assert unpack(job) == "job1"


def test_restoring_twice_leaves_the_same(bench: Bench) -> None:
    """CK3."""
    found = content(entry("a", 1), entry("b", [None, b"\x00"]))
    bench.commit(Put("/app/new", SCHEMA, 1, 1, 3))
    bench.commit(*plan(found, stored(bench.store)).operations)
    once = kept(bench.store)

    bench.commit(*plan(found, stored(bench.store)).operations)

    assert kept(bench.store) == once == {"/app/a": 1, "/app/b": [None, b"\x00"]}


def test_a_lease_whose_holder_is_dead_is_not_given_to_it_again_and_that_is_said() -> None:
    """CK4, CK5, CK11: success is not claimed for what was not restored."""
    lease = entry("lease", {"token": 7}, holder=DEAD, schema="actor:lease")
    held = entry("held", {"token": 8}, holder=LIVING, schema="actor:lease")

    made = plan(content(lease, held), {"/app/lease": "actor:lease", "/app/held": "actor:lease"})

    assert made.states == ("/app/held",)
    assert [path for path, _ in made.leases_not_restored] == ["/app/lease"]
    assert "process 3" in made.leases_not_restored[0][1]
    assert {operation.path for operation in made.operations if isinstance(operation, Put | Discard)} == {"/app/held"}


def test_a_process_record_is_neither_written_nor_discarded() -> None:
    """CK11: it says whose a process is now, and no checkpoint knows that."""
    process = "treewarden.process"
    then = content(
        entry("api", {"incarnation": 1}, holder=DEAD, schema=process),
        entry("up", {"incarnation": 1}, holder=LIVING, schema=process),
        entry("gone", {"incarnation": 1}, holder=LIVING, schema=process),
        entry("became", 1),
    )
    current = {f"/app/{name}": process for name in ("api", "up", "new", "became")}

    made = plan(then, current)

    assert made.operations == ()
    assert {path for path, _ in made.left_alone} == {"/app/api", "/app/up", "/app/gone", "/app/new", "/app/became"}
    assert made.leases_not_restored == ()


def test_what_is_remembered_of_restarts_is_forgotten() -> None:
    paths = ("/app#window", "/app/a#restarts", "/app/new#restarts", "/application#window")
    current: dict[str, str | None] = dict.fromkeys(paths, "restarts")

    made = plan(content(entry("a", 1)), current)

    assert made.forgotten == ("/app#window", "/app/a#restarts", "/app/new#restarts")
    assert made.dropped == ()
    assert Discard("/application#window") not in made.operations


def test_what_cannot_be_read_is_left_alone_unless_the_checkpoint_has_a_state_for_it(bench: Bench) -> None:
    for name in ("a", "b", "c#restarts"):
        sequence = bench.commit(Put(f"/app/{name}", SCHEMA, 1, 1, "bad"))
        bench.commit(Quarantine(f"/app/{name}", sequence))

    made = plan(content(entry("a", 1)), stored(bench.store))
    bench.commit(*made.operations)

    assert [path for path, _ in made.left_alone] == ["/app/b"]
    assert bench.store.latest("/app/a").state == 1
    assert stored(bench.store) == {"/app/a": SCHEMA, "/app/b": None}


@pytest.mark.parametrize("scope", ["/app", "/"])
def test_only_what_is_within_the_scope_is_touched(scope: str) -> None:
    made = plan(Content(scope, {}, {}), {"/app/a": SCHEMA, "/apple": SCHEMA, "/app": SCHEMA})

    assert made.dropped == (("/app", "/app/a") if scope == "/app" else ("/app", "/app/a", "/apple"))
