"""Checkpoints in a store: made, found again, verified, pruned. Every test runs on both stores."""

import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol, cast

import pytest

from treewarden.storage import (
    ActorEntry,
    Checkpoint,
    CheckpointCorrupt,
    CheckpointMissing,
    Checkpoints,
    CheckpointStatistics,
    CheckpointStatus,
    CommitFailed,
    Content,
    DropRow,
    KeptTimer,
    LmdbStore,
    Operation,
    OperationRefused,
    PruneReport,
    PutRow,
    RowCorrupt,
    SnapshotStore,
    StoreClosed,
    Table,
    Trigger,
    VersionTooNew,
    pack,
    unpack,
)
from treewarden.storage._canonical import canonical, digest_of_bytes
from treewarden.storage._checkpoint_pages import encode
from treewarden.storage._checkpoint_row import KEPT_RECOVERIES, key_of, value_of

NOTHING: dict[str, object] = {}
NOW = 1_000_000.0
DAY = 86_400.0


class Bench(Protocol):
    """A store whose rows a test may damage."""

    @property
    def store(self) -> SnapshotStore: ...

    def commit(self, *operations: Operation) -> int: ...

    def rewrite_row(self, table: Table, key: bytes, change: Callable[[bytes], bytes]) -> None: ...


class Wall:
    """Wall seconds that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Refusing:
    """A store whose medium refuses every commit from now on, while `refuses` is set."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self.refuses = False

    def commit(self, operations: Sequence[Operation]) -> "Future[int]":
        if not self.refuses:
            return self._store.commit(operations)
        refused = Future[int]()
        refused.set_exception(CommitFailed(Path("store"), "no space", "make room"))
        return refused

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.fixture
def wall() -> Wall:
    return Wall()


def open_on(store: SnapshotStore, wall: Callable[[], float]) -> Checkpoints:
    return Checkpoints(store, wall=wall)


def content(states: Mapping[str, object], *, scope: str = "/app", timers: Sequence[KeptTimer] = ()) -> Content:
    return Content(
        scope,
        {
            f"{scope}/{name}": ActorEntry(
                f"{scope}/{name}", "actor:app:Counter", 1, pack("/", state), timers=tuple(timers)
            )
            for name, state in states.items()
        },
        {},
    )


def make(checkpoints: Checkpoints, found: Content, *, trigger: Trigger = Trigger.MANUAL) -> Checkpoint:
    number = checkpoints.begin(found.scope, trigger)
    return checkpoints.complete(number, found, events_through=7, paused=0.5)


def flip(record: bytes) -> bytes:
    return bytes([record[0] ^ 1]) + record[1:]


def cut(record: bytes) -> bytes:
    return record[:3]


def test_a_checkpoint_is_in_progress_until_it_is_completed_and_says_everything_about_itself(
    bench: Bench, wall: Wall
) -> None:
    checkpoints = open_on(bench.store, wall)
    found = content({"a": 1, "b": 2})
    number = checkpoints.begin("/app", Trigger.TASK)
    begun = checkpoints.get(number)
    wall.now += 5

    done = checkpoints.complete(number, found, events_through=17, paused=0.25)

    assert begun == Checkpoint(1, "/app", CheckpointStatus.IN_PROGRESS, Trigger.TASK, NOW)
    values = encode(found).values
    assert done == Checkpoint(
        1,
        "/app",
        CheckpointStatus.COMPLETED,
        Trigger.TASK,
        NOW,
        encode(found).root.hex(),
        NOW + 5,
        17,
        2,
        sum(map(len, values.values())),
        sum(map(len, values.values())),
        0.25,
    )
    assert checkpoints.get(1) == done
    assert checkpoints.all() == (done,)
    assert checkpoints.load(1) == found


def test_the_same_content_makes_no_second_checkpoint_and_adds_nothing(bench: Bench, wall: Wall) -> None:
    """CK1: idempotent, also with a periodic timer, whatever that has left."""
    checkpoints = open_on(bench.store, wall)
    tick = pack("/", "tick")
    first = make(checkpoints, content({"a": 1}, timers=[KeptTimer(1.0, 5.0, tick)]), trigger=Trigger.PERIODIC)
    before = checkpoints.statistics()
    wall.now += 300

    number = checkpoints.begin("/app", Trigger.MANUAL)
    again = checkpoints.complete(
        number, content({"a": 1}, timers=[KeptTimer(4.0, 5.0, tick)]), events_through=9, paused=0.1
    )

    assert (again.number, again.trigger, again.created_at) == (first.number, Trigger.PERIODIC, NOW)
    assert (again.confirmed_at, again.events_through, again.bytes_added) == (NOW + 300, 9, first.bytes_added)
    assert checkpoints.all() == (again,)
    assert checkpoints.statistics() == before
    assert checkpoints.load(first.number).runtime["/app/a"].timers == (KeptTimer(4.0, 5.0, tick),)


def test_content_that_came_back_after_another_is_a_checkpoint_of_its_own(bench: Bench, wall: Wall) -> None:
    """Only the newest is confirmed: the order of the checkpoints is the history of the subtree."""
    checkpoints = open_on(bench.store, wall)
    first, second = make(checkpoints, content({"a": 1})), make(checkpoints, content({"a": 2}))

    third = make(checkpoints, content({"a": 1}))

    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert third.bytes_added == 0
    assert checkpoints.latest("/app").content == content({"a": 1})


def test_the_same_content_of_another_scope_is_another_checkpoint(bench: Bench, wall: Wall) -> None:
    checkpoints = open_on(bench.store, wall)
    make(checkpoints, Content("/app", {}, {}))

    make(checkpoints, Content("/other", {}, {}))

    assert [row.scope for row in checkpoints.all() if isinstance(row, Checkpoint)] == ["/app", "/other"]
    assert [row.number for row in checkpoints.all("/other") if isinstance(row, Checkpoint)] == [2]


def test_one_that_is_in_progress_or_failed_is_not_taken_for_the_same(bench: Bench, wall: Wall) -> None:
    """CK18: the status counts when content is compared, and when the newest is sought."""
    checkpoints = open_on(bench.store, wall)
    done = make(checkpoints, content({"a": 1}))
    failed = checkpoints.begin("/app", Trigger.MANUAL)
    assert checkpoints.fail(failed, "no") is None
    checkpoints.begin("/app", Trigger.MANUAL)

    assert make(checkpoints, content({"a": 1})).number == done.number
    assert checkpoints.latest("/app").checkpoint.number == done.number


def test_a_changed_actor_among_many_adds_little(bench: Bench, wall: Wall) -> None:
    """CK16: growth is linear in changed state."""
    checkpoints = open_on(bench.store, wall)
    first = make(checkpoints, content({f"a{number}": number for number in range(2000)}))

    second = make(checkpoints, content({f"a{number}": number or "changed" for number in range(2000)}))

    assert second.bytes_total > 100_000
    assert second.bytes_added < 8_000
    assert checkpoints.statistics().bytes == first.bytes_total + second.bytes_added + 2  # one byte of volatile each


def test_values_and_row_are_one_transaction(bench: Bench, wall: Wall) -> None:
    """CK8."""
    commits: list[Sequence[Operation]] = []
    inner = bench.store

    class Watched(Refusing):
        def commit(self, operations: Sequence[Operation]) -> "Future[int]":
            commits.append(operations)
            return super().commit(operations)

    make(open_on(cast("SnapshotStore", Watched(inner)), wall), content({"a": 1}))

    assert len(commits) == 2
    assert [type(operation) for operation in commits[0]] == [PutRow]
    tables = [operation.table for operation in commits[1] if isinstance(operation, PutRow)]
    assert tables.count(Table.CHECKPOINTS) == 1
    assert tables.count(Table.VALUES) == len(encode(content({"a": 1})).values) + 1


def test_a_commit_that_fails_leaves_nothing_of_the_checkpoint_and_its_error_is_the_one_raised(
    bench: Bench, wall: Wall
) -> None:
    """CK7, CK8: noting the failure does not mask it, and the row is not in progress for ever."""
    store = Refusing(bench.store)
    checkpoints = open_on(cast("SnapshotStore", store), wall)
    number = checkpoints.begin("/app", Trigger.MANUAL)
    store.refuses = True

    with pytest.raises(CommitFailed):
        checkpoints.complete(number, content({"a": 1}), events_through=None, paused=0)
    assert isinstance(checkpoints.fail(number, "no space"), CommitFailed)
    store.refuses = False
    assert checkpoints.statistics() == CheckpointStatistics(0, 1, 0, 0, 0, 0)
    assert checkpoints.fail(number, "no space") is None

    assert checkpoints.get(number).status is CheckpointStatus.FAILED
    assert checkpoints.get(number).why == "no space"
    assert len(checkpoints.all()) == 1
    with pytest.raises(CheckpointMissing):
        checkpoints.latest("/app")


def test_a_failure_with_any_text_is_written_down(bench: Bench, wall: Wall) -> None:
    """CK7."""
    checkpoints = open_on(bench.store, wall)
    number = checkpoints.begin("/app", Trigger.MANUAL)

    assert checkpoints.fail(number, "no file \udcff" + "!" * 20_000_000) is None

    why = checkpoints.get(number).why or ""
    assert why.startswith("no file \\udcff!!")
    assert len(why) < 3000


def test_only_what_is_in_progress_can_be_completed_or_fail(bench: Bench, wall: Wall) -> None:
    """CK7: a late report of a failure does not undo a checkpoint."""
    checkpoints = open_on(bench.store, wall)
    done = make(checkpoints, content({"a": 1}))

    with pytest.raises(OperationRefused, match="it is completed, expected in_progress"):
        checkpoints.complete(done.number, content({"a": 2}), events_through=None, paused=0)
    assert isinstance(checkpoints.fail(done.number, "late"), OperationRefused)
    assert isinstance(checkpoints.fail(99, "never begun"), CheckpointMissing)
    with pytest.raises(CheckpointMissing):
        checkpoints.complete(99, content({"a": 2}), events_through=None, paused=0)

    assert checkpoints.get(done.number) == done


def test_content_of_another_scope_is_refused(bench: Bench, wall: Wall) -> None:
    checkpoints = open_on(bench.store, wall)
    number = checkpoints.begin("/app", Trigger.MANUAL)

    with pytest.raises(OperationRefused, match="'/other'"):
        checkpoints.complete(number, content({}, scope="/other"), events_through=None, paused=0)


def test_what_a_killed_runtime_left_in_progress_is_swept_and_what_is_being_made_is_not(
    bench: Bench, wall: Wall
) -> None:
    """CK18."""
    left = open_on(bench.store, wall).begin("/app", Trigger.PERIODIC)
    bench.commit(PutRow(Table.VALUES, b"v" * 32, b"left over"), PutRow(Table.VALUES, b"foreign", b"kept"))
    checkpoints = open_on(bench.store, wall)
    own = checkpoints.begin("/app", Trigger.MANUAL)

    swept = checkpoints.sweep()

    assert (swept.failed, swept.values_removed, swept.bytes_removed) == ((left,), 1, len(b"left over"))
    assert swept.not_collected is None
    assert checkpoints.get(left).why == "the runtime ended during it"
    assert checkpoints.get(own).status is CheckpointStatus.IN_PROGRESS
    assert bench.store.row(Table.VALUES, b"v" * 32) is None
    assert bench.store.row(Table.VALUES, b"foreign") == b"kept"
    assert checkpoints.sweep().failed == ()


def test_sweeping_keeps_every_value_that_a_checkpoint_needs(bench: Bench, wall: Wall) -> None:
    """CK14."""
    checkpoints = open_on(bench.store, wall)
    contents = [content({f"a{number}": number % step for number in range(100)}) for step in (2, 3, 5)]
    for found in contents:
        make(checkpoints, found)

    assert checkpoints.sweep().values_removed == 0

    assert [checkpoints.load(number) for number in (1, 2, 3)] == contents


def test_the_latest_is_the_highest_number_whatever_the_clock_says(bench: Bench, wall: Wall) -> None:
    """CK17: the clock is set back, and two checkpoints have the same time."""
    checkpoints = open_on(bench.store, wall)
    for state, now in ((1, NOW), (2, NOW - 10 * DAY), (3, NOW - 10 * DAY)):
        wall.now = now
        make(checkpoints, content({"a": state}))

    assert checkpoints.latest("/app").content == content({"a": 3})


def test_numbers_grow_over_restarts_and_over_damage(bench: Bench, wall: Wall) -> None:
    """CK17."""
    assert open_on(bench.store, wall).begin("/app", Trigger.MANUAL) == 1
    assert open_on(bench.store, wall).begin("/app", Trigger.MANUAL) == 2
    bench.rewrite_row(Table.CHECKPOINTS, key_of(2), flip)

    checkpoints = open_on(bench.store, wall)
    assert checkpoints.begin("/app", Trigger.MANUAL) == 3
    bench.commit(DropRow(Table.CHECKPOINTS, key_of(3)))
    assert checkpoints.begin("/app", Trigger.MANUAL) == 4


def test_checkpoints_that_are_made_at_once_each_have_their_number(bench: Bench, wall: Wall) -> None:
    """CK17: no check-then-insert; identical content made by many at once is one checkpoint."""
    checkpoints = open_on(bench.store, wall)
    numbers: list[int] = []
    together = threading.Barrier(8)

    def run() -> None:
        together.wait(10)
        number = checkpoints.begin("/app", Trigger.TASK)
        numbers.append(number)
        checkpoints.complete(number, content({"a": 1}), events_through=None, paused=0)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(numbers) == list(range(1, 9))
    assert len(checkpoints.all()) == 1


def two(bench: Bench, wall: Wall) -> Checkpoint:
    """Two checkpoints; the newer one."""
    checkpoints = open_on(bench.store, wall)
    make(checkpoints, content({"a": 1}))
    return make(checkpoints, content({"a": 2}))


def state_key(state: object) -> bytes:
    return digest_of_bytes(canonical(state, path="/"))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (flip, "checksum"),
        (cut, "fewer than its checksum"),
    ],
)
def test_a_checkpoint_with_a_damaged_value_is_passed_over_for_the_one_before_and_named(
    bench: Bench, wall: Wall, damage: Callable[[bytes], bytes], why: str
) -> None:
    """CK12, CK13."""
    two(bench, wall)
    bench.rewrite_row(Table.VALUES, state_key(2), damage)
    checkpoints = open_on(bench.store, wall)

    found = checkpoints.latest("/app")

    assert found.checkpoint.number == 1
    assert found.content == content({"a": 1})
    assert [number for number, _ in found.skipped] == [2]
    assert why in found.skipped[0][1]
    with pytest.raises(CheckpointCorrupt, match=why):
        checkpoints.load(2)


def test_a_value_under_a_sound_checksum_is_verified_by_its_digest(bench: Bench, wall: Wall) -> None:
    """CK12: stored hashes are verified on load."""
    two(bench, wall)
    bench.commit(PutRow(Table.VALUES, state_key(2), b"another value"))

    found = open_on(bench.store, wall).latest("/app")

    assert found.checkpoint.number == 1
    assert "have the digest" in found.skipped[0][1]


@pytest.mark.parametrize("state", [1, 2])
def test_a_missing_value_is_damage_and_never_an_empty_state(bench: Bench, wall: Wall, state: int) -> None:
    """CK12, CK13."""
    two(bench, wall)
    bench.commit(DropRow(Table.VALUES, state_key(state)))

    found = open_on(bench.store, wall).latest("/app")

    assert found.content == content({"a": 3 - state})
    assert len(found.skipped) == state - 1


def test_a_damaged_row_is_passed_over_and_named(bench: Bench, wall: Wall) -> None:
    """CK13: it may have been the newest of this scope, so it is not passed over in silence."""
    newer = two(bench, wall)
    bench.rewrite_row(Table.CHECKPOINTS, key_of(newer.number), flip)
    checkpoints = open_on(bench.store, wall)

    found = checkpoints.latest("/app")

    assert found.checkpoint.number == 1
    assert [number for number, _ in found.skipped] == [2]
    assert [type(row) for row in checkpoints.all("/app")] == [Checkpoint, RowCorrupt]
    assert checkpoints.statistics().unreadable == 1
    with pytest.raises(RowCorrupt):
        checkpoints.get(2)
    with pytest.raises(CheckpointCorrupt):
        checkpoints.load(2)


@pytest.mark.parametrize(
    "value",
    [
        b"\xc1",
        canonical(["checkpoint-row", 1], path="/"),
        canonical(["checkpoint", 1, NOTHING], path="/"),
        canonical(["checkpoint-row", 0, NOTHING], path="/"),
        canonical(["nothing of ours", 1, NOTHING], path="/"),
        canonical(["checkpoint-row", 1, {"scope": 1}], path="/"),
        canonical(["checkpoint-row", 1, {"scope": "/app", "status": "done"}], path="/"),
    ],
)
def test_a_row_of_another_shape_is_damage(bench: Bench, wall: Wall, value: bytes) -> None:
    bench.commit(PutRow(Table.CHECKPOINTS, key_of(1), value))

    with pytest.raises(RowCorrupt):
        open_on(bench.store, wall).get(1)


def test_if_none_can_be_believed_that_is_said_and_is_not_the_same_as_none(bench: Bench, wall: Wall) -> None:
    """CK13: "no checkpoint" would let the caller start from nothing."""
    with pytest.raises(CheckpointMissing):
        open_on(bench.store, wall).latest("/app")
    two(bench, wall)
    bench.rewrite_row(Table.VALUES, state_key(1), flip)
    bench.rewrite_row(Table.VALUES, state_key(2), flip)
    checkpoints = open_on(bench.store, wall)

    with pytest.raises(CheckpointCorrupt) as raised:
        checkpoints.latest("/app")
    assert [number for number, _ in raised.value.why] == [2, 1]
    with pytest.raises(CheckpointMissing):
        checkpoints.latest("/other")

    bench.rewrite_row(Table.CHECKPOINTS, key_of(2), flip)
    with pytest.raises(CheckpointCorrupt):
        open_on(bench.store, wall).latest("/other")  # the unreadable one may have been of it


def test_an_error_of_the_medium_is_never_no_checkpoint(bench: Bench, wall: Wall) -> None:
    """CK13."""
    two(bench, wall)
    checkpoints = open_on(bench.store, wall)
    bench.store.close()

    for read in (
        lambda: checkpoints.latest("/app"),
        lambda: checkpoints.load(1),
        lambda: checkpoints.get(1),
        checkpoints.all,
        checkpoints.sweep,
    ):
        with pytest.raises(StoreClosed):
            read()


def test_content_kept_again_mends_the_checkpoint_that_was_damaged(bench: Bench, wall: Wall) -> None:
    """A value that is there and cannot be believed must not be taken for kept."""
    two(bench, wall)
    bench.rewrite_row(Table.VALUES, state_key(2), flip)
    checkpoints = open_on(bench.store, wall)

    assert make(checkpoints, content({"a": 2})).number == 2

    assert checkpoints.latest("/app").skipped == ()


def test_what_was_never_completed_cannot_be_loaded(bench: Bench, wall: Wall) -> None:
    checkpoints = open_on(bench.store, wall)
    number = checkpoints.begin("/app", Trigger.MANUAL)

    with pytest.raises(CheckpointMissing, match="in_progress"):
        checkpoints.load(number)
    for unknown in (0, 99, -1, 2**64):
        with pytest.raises(CheckpointMissing):
            checkpoints.load(unknown)


def test_a_recovery_is_written_down_and_uses_nothing_up(bench: Bench, wall: Wall) -> None:
    """CK3: after a second crash the same one is the latest."""
    two(bench, wall)
    checkpoints = open_on(bench.store, wall)
    for at in range(1, KEPT_RECOVERIES + 3):
        recovered = checkpoints.latest("/app")
        assert (recovered.checkpoint.number, recovered.content) == (2, content({"a": 2}))
        bench.commit(checkpoints.note_recovery(2, float(at)))

    found = checkpoints.get(2)
    assert found.status is CheckpointStatus.COMPLETED
    assert found.recoveries == tuple(float(at) for at in range(3, KEPT_RECOVERIES + 3))


def test_a_checkpoint_of_a_newer_release_is_refused_by_name_and_nothing_is_collected(bench: Bench, wall: Wall) -> None:
    done = two(bench, wall)
    body = canonical(["checkpoint", 2, NOTHING], path="/")
    newer = value_of(done).replace(done.root.encode() if done.root else b"?", digest_of_bytes(body).hex().encode())
    bench.commit(
        PutRow(Table.CHECKPOINTS, key_of(3), newer),
        PutRow(Table.VALUES, digest_of_bytes(body), body),
        PutRow(Table.VALUES, b"v" * 32, b"what only the newer release knows to be needed"),
    )
    checkpoints = open_on(bench.store, wall)

    with pytest.raises(VersionTooNew, match="version 2, this release reads up to 1"):
        checkpoints.latest("/app")
    swept = checkpoints.sweep()

    assert "version 2" in (swept.not_collected or "")
    assert bench.store.row(Table.VALUES, b"v" * 32) is not None
    with pytest.raises(VersionTooNew):
        checkpoints.prune(older_than=0, now=NOW + 1)
    assert len(checkpoints.all()) == 3


def test_pruning_removes_the_old_and_what_only_they_needed(bench: Bench, wall: Wall) -> None:
    """CK14: values go with their last reference; what is shared stays."""
    checkpoints = open_on(bench.store, wall)
    shared = {"shared": "x" * 500}
    for state in (1, 2, 3):
        make(checkpoints, content({**shared, "a": f"only in {state}"}))
        wall.now += DAY
    before = checkpoints.statistics()

    report = checkpoints.prune(older_than=1.5 * DAY, now=wall.now)

    assert report.removed == (1, 2)
    assert report.kept == 1
    after = checkpoints.statistics()
    assert (after.completed, after.values) == (1, before.values - report.values_removed)
    assert after.bytes == before.bytes - report.bytes_removed == checkpoints.get(3).bytes_total + 1
    assert checkpoints.load(3) == content({**shared, "a": "only in 3"})


def test_pruning_twice_removes_nothing_more(bench: Bench, wall: Wall) -> None:
    checkpoints = open_on(bench.store, wall)
    make(checkpoints, content({"a": 1}))
    make(checkpoints, content({"a": 2}))

    checkpoints.prune(older_than=0, now=NOW + 1)

    assert checkpoints.prune(older_than=0, now=NOW + 1) == PruneReport((), 0, 0, 1)


def test_pruning_keeps_the_newest_that_can_be_believed(bench: Bench, wall: Wall) -> None:
    """CK14: the newest row is damaged, so the one before it is the one that is needed."""
    two(bench, wall)
    make(open_on(bench.store, wall), content({"a": 3}))
    bench.rewrite_row(Table.VALUES, state_key(3), flip)
    checkpoints = open_on(bench.store, wall)

    report = checkpoints.prune(older_than=DAY, now=NOW + 30 * DAY)

    assert report.removed == (1,)
    assert checkpoints.latest("/app").checkpoint.number == 2


def test_pruning_works_by_hand_and_leaves_alone_what_is_in_progress(bench: Bench, wall: Wall) -> None:
    """CK14, CK15: manual ones go by the same rule, and no timer must be on for it."""
    checkpoints = open_on(bench.store, wall)
    for state in (1, 2):
        make(checkpoints, content({"a": state}), trigger=Trigger.MANUAL)
    own = checkpoints.begin("/app", Trigger.MANUAL)

    report = checkpoints.prune(older_than=DAY, now=NOW + 30 * DAY)

    assert report.removed == (1,)
    assert checkpoints.complete(own, content({"a": 3}), events_through=None, paused=0).number == own


def test_a_confirmed_checkpoint_is_as_young_as_its_confirmation(bench: Bench, wall: Wall) -> None:
    checkpoints = open_on(bench.store, wall)
    make(checkpoints, content({"a": 1}))
    wall.now += 6 * DAY
    make(checkpoints, content({"a": 1}))
    make(checkpoints, content({"a": 2}))

    assert checkpoints.prune(older_than=3 * DAY, now=wall.now + DAY).removed == ()


def test_an_unreadable_row_goes_once_a_later_one_is_old_enough(bench: Bench, wall: Wall) -> None:
    checkpoints = open_on(bench.store, wall)
    for state in (1, 2, 3):
        make(checkpoints, content({"a": state}))
    bench.rewrite_row(Table.CHECKPOINTS, key_of(2), flip)
    checkpoints = open_on(bench.store, wall)

    assert checkpoints.prune(older_than=DAY, now=NOW).removed == ()
    assert checkpoints.prune(older_than=DAY, now=NOW + 2 * DAY).removed == (1, 2)

    assert checkpoints.latest("/app").skipped == ()
    assert checkpoints.statistics().values == len(encode(content({"a": 3})).values) + 1


def test_a_prune_that_was_cut_short_leaves_values_and_never_a_checkpoint_without_them(bench: Bench, wall: Wall) -> None:
    """The rows go first; `sweep` finds what is left over."""
    two(bench, wall)

    class CutShort(Refusing):
        def commit(self, operations: Sequence[Operation]) -> "Future[int]":
            done = super().commit(operations)
            self.refuses = True
            return done

    store = CutShort(bench.store)
    with pytest.raises(CommitFailed):
        open_on(cast("SnapshotStore", store), wall).prune(older_than=0, now=NOW + 1)

    checkpoints = open_on(bench.store, wall)
    assert checkpoints.latest("/app").content == content({"a": 2})
    assert checkpoints.sweep().values_removed > 0
    assert checkpoints.load(2) == content({"a": 2})


def test_pruning_and_making_at_once_lose_nothing(bench: Bench, wall: Wall) -> None:
    """CK17, CK19: what is being made refers to values that a prune would collect a moment later."""
    checkpoints = open_on(bench.store, wall)
    made: list[Checkpoint] = []
    done = threading.Event()

    def prune() -> None:
        while not done.is_set():
            checkpoints.prune(older_than=0, now=NOW + 1)

    pruning = threading.Thread(target=prune)
    pruning.start()
    try:
        for round_ in range(30):
            made.append(make(checkpoints, content({"a": round_ % 3, "b": "shared"})))
            assert checkpoints.latest("/app").content == content({"a": round_ % 3, "b": "shared"})
    finally:
        done.set()
        pruning.join()

    assert len(made) == 30


def state_of(found: Content) -> object:
    state = found.runtime["/app/a"].state
    assert state is not None
    return unpack(state)


@pytest.fixture
def after_kill(
    tmp_path: Path,
    wall: Wall,
    start_program: Callable[..., "subprocess.Popen[str]"],
    open_store: Callable[..., LmdbStore],
) -> Callable[..., Checkpoints]:
    """The checkpoints that a runtime leaves which made two and was killed at a point in a step."""

    def kill(point: str, step: str, nth: int) -> Checkpoints:
        died = start_program("crash_in_checkpoint.py", str(tmp_path), point, step, str(nth))
        assert died.communicate(timeout=60)[0].split() == ["two"]
        assert died.returncode == -signal.SIGKILL
        return open_on(open_store(tmp_path), wall)

    return kill


@pytest.mark.parametrize(
    ("point", "nth", "done"),
    [("COMMIT_BEFORE", 1, 0), ("COMMIT_AFTER", 1, 1), ("COMMIT_BEFORE", 2, 1), ("COMMIT_AFTER", 2, 2)],
)
@pytest.mark.parametrize("step", ["make", "prune"])
def test_a_runtime_that_is_killed_at_any_commit_leaves_whole_checkpoints_and_what_a_sweep_finds(
    after_kill: Callable[..., Checkpoints], step: str, point: str, nth: int, done: int
) -> None:
    """CK8, CK18."""
    checkpoints = after_kill(point, step, nth)

    swept = checkpoints.sweep()

    found = checkpoints.latest("/app")
    assert found.skipped == ()
    if step == "make":
        assert swept.failed == ((3,) if done == 1 else ())
        assert state_of(found.content) == (3 if done == 2 else 2)
        assert len(checkpoints.all()) == (2 if done == 0 else 3)
        assert swept.values_removed == 0
    else:
        assert state_of(found.content) == 2
        assert len(checkpoints.all()) == (2 if done == 0 else 1)
        assert (swept.values_removed > 0) == (done == 1)
    checkpoints.prune(older_than=0, now=NOW + 1)
    assert checkpoints.statistics().values == len(encode(found.content).values) + 1
