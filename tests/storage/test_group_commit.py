"""The intake: order, whole commits, and no waiting for company."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.storage import Discard, LmdbStore, Put, SnapshotMissing
from treewarden.storage._group_commit import MAX_BATCH_OPERATIONS, Intake, Pending, Submitted

OpenStore = Callable[..., LmdbStore]
Hold = Callable[[LmdbStore], Callable[[], None]]


def pending(size: int) -> Pending:
    return Pending([Discard(f"/{number}") for number in range(size)], Future())


def test_a_lone_commit_is_handed_out_without_waiting_for_another() -> None:
    intake = Intake()
    lone = pending(1)
    intake.submit(lone)

    assert (lone,) == intake.wait_batch()


@given(sizes=st.lists(st.integers(0, 400), max_size=20))
def test_batches_hold_every_commit_once_in_order_and_end_at_the_limit(sizes: list[int]) -> None:
    intake = Intake()
    submitted = [pending(size) for size in sizes]
    for each in submitted:
        intake.submit(each)
    intake.close()
    batches: list[tuple[Pending, ...]] = []
    while batch := intake.wait_batch():
        batches.append(batch)

    assert submitted == [each for batch in batches for each in batch]
    assert all(sum(len(each.operations) for each in batch[:-1]) < MAX_BATCH_OPERATIONS for batch in batches)


def test_a_closed_intake_takes_nothing_and_hands_out_what_waits() -> None:
    intake = Intake()
    waiting = pending(1)

    assert intake.submit(waiting) is Submitted.QUEUED
    intake.close()
    assert intake.submit(pending(1)) is Submitted.CLOSED
    assert (waiting,) == intake.wait_batch()
    assert intake.wait_batch() == ()


def test_commits_that_wait_together_share_one_transaction(
    tmp_path: Path, open_store: OpenStore, put: Callable[..., Put], hold_storage_thread: Hold
) -> None:
    store = open_store(tmp_path)
    release = hold_storage_thread(store)
    before = store._environment.info()["last_txnid"]
    futures = [store.commit([put(f"/{number}")]) for number in range(50)]
    release()
    answers = [future.result(10) for future in futures]
    after = store._environment.info()["last_txnid"]
    store.close()

    assert after - before == 1
    assert list(range(1, 51)) == answers


def test_a_commit_cancelled_in_time_is_not_carried_out(
    tmp_path: Path, open_store: OpenStore, put: Callable[..., Put], hold_storage_thread: Hold
) -> None:
    store = open_store(tmp_path)
    release = hold_storage_thread(store)
    cancelled, kept = store.commit([put("/cancelled")]), store.commit([put("/kept")])

    assert cancelled.cancel()
    release()
    kept.result(10)
    assert not kept.cancel()
    with pytest.raises(SnapshotMissing):
        store.latest("/cancelled")
    store.close()


def test_close_carries_out_what_was_handed_in(
    tmp_path: Path, open_store: OpenStore, put: Callable[..., Put], hold_storage_thread: Hold
) -> None:
    store = open_store(tmp_path)
    release = hold_storage_thread(store)
    futures = [store.commit([put("/a", number)]) for number in range(600)]
    release()
    store.close()

    assert all(future.done() for future in futures)
    reopened = open_store(tmp_path)
    assert reopened.latest("/a").state == 599
    reopened.close()


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_a_callback_that_raises_neither_ends_the_storage_thread_nor_its_batch(
    tmp_path: Path,
    open_store: OpenStore,
    hold_storage_thread: Hold,
    monkeypatch: pytest.MonkeyPatch,
    raised: type[BaseException],
) -> None:
    reported: list[type[BaseException]] = []

    def report(hook: threading.ExceptHookArgs) -> None:
        reported.append(hook.exc_type)

    monkeypatch.setattr(threading, "excepthook", report)

    def misbehave(_: object) -> None:
        raise raised("from a callback")

    store = open_store(tmp_path)
    release = hold_storage_thread(store)
    first, second = store.commit([Discard("/a")]), store.commit([Discard("/b")])
    first.add_done_callback(misbehave)
    release()

    assert [first.result(10), second.result(10)] == [0, 0]
    assert store.commit([Put("/c", "s", 1, 1, None)]).result(10) == 1
    store.close()
    # concurrent.futures logs an Exception of a callback itself.
    assert reported == ([] if issubclass(raised, Exception) else [raised])


def test_a_store_may_be_closed_from_a_callback(
    tmp_path: Path, open_store: OpenStore, put: Callable[..., Put], hold_storage_thread: Hold
) -> None:
    store = open_store(tmp_path)
    release = hold_storage_thread(store)
    first, second = store.commit([put("/a")]), store.commit([put("/b")])
    first.add_done_callback(lambda _: store.close())
    release()

    assert second.result(10) == 2
    store.close()


def test_a_stopped_intake_hands_out_what_waits_and_takes_nothing_until_it_is_opened_again() -> None:
    intake = Intake()
    waiting = pending(1)
    intake.submit(waiting)

    assert intake.stop() == (waiting,)
    assert intake.submit(pending(1)) is Submitted.STOPPED

    intake.reopen()

    assert intake.submit(waiting) is Submitted.QUEUED
    assert intake.wait_batch() == (waiting,)


def test_waiting_for_a_batch_ends_with_its_timeout() -> None:
    assert Intake().wait_batch(timeout=0.0) is None
