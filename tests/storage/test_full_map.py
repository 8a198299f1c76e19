"""A full map grows while it is read, and no batch is lost."""

import threading
from collections.abc import Callable
from pathlib import Path

from treewarden.storage import LmdbStore, Put, Snapshot

OpenStore = Callable[..., LmdbStore]
PATIENCE = 20.0


def test_a_map_that_grows_while_it_is_read_loses_no_batch_and_fails_no_read(
    tmp_path: Path, open_store: OpenStore
) -> None:
    """From 64 KiB to 16 MiB, with three threads reading single paths and walking over all of them."""
    store = open_store(tmp_path / "store", map_size=2**16)
    failures: list[BaseException] = []
    written, done = 0, threading.Event()

    def read(is_walker: bool) -> None:
        try:
            while not done.is_set():
                if is_walker:
                    found = [each for each in store.scan() if isinstance(each, Snapshot)]
                    assert all(each.state == size_of(int(each.path[1:])) for each in found)
                else:
                    promised = written
                    newest = store.latest(f"/{promised}").state if promised else None
                    assert newest == (size_of(promised) if promised else None)
        except BaseException as error:  # noqa: BLE001  # thread boundary: told below
            failures.append(error)

    readers = [threading.Thread(target=read, args=(number == 0,)) for number in range(3)]
    for reader in readers:
        reader.start()
    try:
        for first in range(1, 61, 4):
            numbers = range(first, first + 4)
            futures = [store.commit([Put(f"/{number}", "s", 1, 1, size_of(number))]) for number in numbers]
            assert [future.result(PATIENCE) for future in futures] == list(numbers)
            written = first + 3
    finally:
        done.set()
        for reader in readers:
            reader.join()
    mapped = store._environment.info()["map_size"]
    store.close()

    assert failures == []
    assert mapped >= 2**22


def size_of(number: int) -> bytes:
    return bytes([number]) * (number * 4_000)
