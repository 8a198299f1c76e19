"""Fills a small file system with a store, in a mount namespace of its own; prints what each thing came to.

Arguments: what to mount ("tmpfs" or "ext4"), an empty folder, which function to run. The mount is gone with the process,
however it ends: nobody else sees the namespace, and a loop device lets go of its image with it.
Prints "cannot: reason", and nothing else, where such a mount is not possible.
"""

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import NoReturn

from treewarden.storage import (
    Append,
    LmdbStore,
    Operation,
    Put,
    PutRow,
    SnapshotMissing,
    StoreFull,
    StoreState,
    StoreUnusable,
    Table,
)
from treewarden.storage._lmdb_files import find_problems

MIB = 2**20
PATIENCE = 20.0
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000


def mount(kind: str, folder: Path) -> Path:
    """Mount a file system of a few MiB where only this process sees it."""
    place = folder / "small"
    place.mkdir()
    user, group = os.getuid(), os.getgid()
    if kind == "ext4" and user != 0:
        give_up("only root may mount a loop device")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS if user == 0 else CLONE_NEWNS | CLONE_NEWUSER) != 0:
        give_up(f"unshare(2): {os.strerror(ctypes.get_errno())}")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    if kind == "ext4":
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(6 * MIB)
        run("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image))
    run("mount", "--make-rprivate", "/")
    if kind == "ext4":
        run("mount", "-o", "loop", str(folder / "image"), str(place))
    else:
        run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place))
    return place


def run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        give_up(f"there is no {words[0]}")
    if done.returncode != 0:
        give_up(f"{' '.join(words)}: {done.stderr.strip()}")


def give_up(why: str) -> NoReturn:
    print(f"cannot: {why}")
    sys.exit(0)


def fill(place: Path, name: str = "ballast", leave: int = 0) -> Path:
    """Take all the room but `leave` bytes."""
    ballast = place / name
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        file.truncate(max(0, file.tell() - leave))
        os.fsync(file.fileno())
    return ballast


class Filler:
    """Commits whose outcome is remembered."""

    def __init__(self, store: LmdbStore) -> None:
        self.store = store
        self.number = 0
        self.acknowledged: dict[str, int] = {}
        self.refused: dict[str, StoreFull] = {}

    def hand_in(self, size: int) -> "Future[int]":
        """One commit of everything: a small path and a large one, a journal entry and a row."""
        self.number += 1
        return self.store.commit(self.operations(self.number, size))

    def operations(self, number: int, size: int) -> list[Operation]:
        return [
            Put(f"/small/{number}", "s", 1, 1, number),
            Put(f"/large/{number}", "s", 1, 1, bytes([number % 251]) * size),
            Append("/journal", "s", 1, 1, number),
            PutRow(Table.EVENTS, number.to_bytes(8, "big"), number.to_bytes(8, "big") * 100),
        ]

    def note(self, number: int, size: int, future: "Future[int]") -> None:
        error = future.exception(PATIENCE)
        if error is None:
            self.acknowledged[f"{number}"] = size
        else:
            assert isinstance(error, StoreFull), error
            self.refused[f"{number}"] = error

    def commit_until_full(self, size: int) -> None:
        """Groups of commits, until one is refused."""
        while not self.refused:
            first = self.number + 1
            futures = [self.hand_in(size) for _ in range(4)]
            for number, future in enumerate(futures, first):
                self.note(number, size, future)

    def count_whole(self, store: LmdbStore) -> tuple[int, int]:
        """How many acknowledged commits are there in all their parts, and how many refused ones in any."""
        journal = store.journal("/journal", after=0)
        assert journal.damage is None
        entries = [entry.entry for entry in journal.entries]
        assert sorted(map(str, entries)) == sorted(self.acknowledged), "the journal is not what was acknowledged"
        whole = sum(self.parts(store, int(number), size) == 3 for number, size in self.acknowledged.items())
        half = sum(self.parts(store, int(number), 0) > 0 for number in self.refused)
        return whole, half

    def parts(self, store: LmdbStore, number: int, size: int) -> int:
        found = store.row(Table.EVENTS, number.to_bytes(8, "big")) == number.to_bytes(8, "big") * 100
        for path, state in ((f"/small/{number}", number), (f"/large/{number}", bytes([number % 251]) * size)):
            try:
                found += store.latest(path).state == state
            except SnapshotMissing:
                continue
        return int(found)


def say(what: str, came_to: object) -> None:
    print(f"{what}: {came_to}", flush=True)


def intake_stops_and_goes_on(place: Path) -> None:
    store = LmdbStore.open(place / "store", map_size=2**16)
    ballast = fill(place, leave=2 * MIB)
    states: list[StoreState] = []
    store.on_state(states.append)
    filler = Filler(store)
    filler.commit_until_full(50_000)
    error = next(iter(filler.refused.values()))
    say("the error names the directory", str(place / "store") in str(error))
    say("what was found", "No space left" in error.found or "Input/output" in error.found)
    say("the remedy", error.remedy)
    say("the state", (store.state.name, [state.name for state in states]))
    say("something was acknowledged", len(filler.acknowledged) > 5)
    others = [threading.Thread(target=hand_in_some, args=(filler, base)) for base in (1000, 2000, 3000)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    whole, half = filler.count_whole(store)
    say("acknowledged and whole, while it is full", whole == len(filler.acknowledged))
    say("refused and there in part, while it is full", half)
    acknowledged = dict(filler.acknowledged)

    taken = threading.Event()
    store.when_writable(taken.set)
    say("writable while it is full", taken.is_set())
    ballast.unlink()
    say("writable once there is room", taken.wait(PATIENCE))
    filler.note(9_000, 50_000, store.commit(filler.operations(9_000, 50_000)))  # taken, though nobody opened it anew
    say("the state after", (store.state.name, [state.name for state in states]))
    whole, half = filler.count_whole(store)
    say("acknowledged and whole, after", whole == len(acknowledged) + 1)
    say("refused and there in part, after", half)
    store.close()
    say("faults of the file", verified(place / "store"))
    again = LmdbStore.open(place / "store")
    whole, half = filler.count_whole(again)
    say("acknowledged and whole, opened again", whole == len(acknowledged) + 1)
    say("paths", len(list(again.scan())) == 2 * whole)
    again.close()


def hand_in_some(filler: Filler, base: int) -> None:
    for number in range(base, base + 50):
        future = filler.store.commit(filler.operations(number, 50_000))
        filler.note(number, 50_000, future)


def creation_is_refused_and_made_good(place: Path) -> None:
    ballast = fill(place)
    say("creation", refusal(lambda: LmdbStore.open(place / "store")))
    say("creation again", refusal(lambda: LmdbStore.open(place / "store")))
    ballast.unlink()
    store = LmdbStore.open(place / "store")
    store.commit([Put("/a", "s", 1, 1, "after")]).result(PATIENCE)
    say("creation after", store.latest("/a").state)
    store.close()
    say("files", sorted(each.name for each in (place / "store").iterdir()))


def creation_with_too_little_room(place: Path) -> None:
    """Each amount of room, from nothing to what suffices: a whole store or a refusal, never half of one."""
    outcomes: list[str] = []
    for room in range(0, 90_000, 4096):
        directory = place / f"store{room}"
        ballast = fill(place, leave=room)
        outcomes.append(refusal(lambda directory=directory: LmdbStore.open(directory).close()))
        ballast.unlink()
        store = LmdbStore.open(directory)
        store.commit([Put("/a", "s", 1, 1, "after")]).result(PATIENCE)
        store.close()
        assert verified(directory) == [], room
    say("with too little room", outcomes[0])
    say("with enough", outcomes[-1])
    say("anything else", sorted({*outcomes} - {outcomes[0], outcomes[-1]}))


def opened_full(place: Path) -> None:
    """A runtime that ended while the disk was full comes back while it still is."""
    store = LmdbStore.open(place / "store")
    ballast = fill(place, leave=MIB)
    filler = Filler(store)
    filler.commit_until_full(20_000)
    store.close()
    rest = fill(place, "rest")
    store = LmdbStore.open(place / "store")
    filler.store = store
    say("opened while it is full", filler.count_whole(store) == (len(filler.acknowledged), 0))
    filler.refused.clear()
    filler.commit_until_full(20_000)  # what the refused one before took of the file is there to be used
    say("full again", (store.state.name, filler.count_whole(store) == (len(filler.acknowledged), 0)))
    ballast.unlink()
    rest.unlink()
    taken = threading.Event()
    store.when_writable(taken.set)
    assert taken.wait(PATIENCE)
    say("a commit after", store.commit([Put("/after", "s", 1, 1, None)]).exception(PATIENCE))
    store.close()
    say("faults of the file", verified(place / "store"))


def killed_while_full(place: Path) -> None:
    ballast = fill(place, leave=2 * MIB)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        filler = Filler(LmdbStore.open(place / "store", map_size=2**16))
        filler.commit_until_full(20_000)
        os.write(writing, json.dumps([filler.acknowledged, list(filler.refused)]).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    say("killed by", os.WTERMSIG(os.waitpid(child, 0)[1]))
    acknowledged, refused = json.loads(os.read(reading, 2**16))
    store = LmdbStore.open(place / "store")
    filler = Filler(store)
    filler.acknowledged, filler.refused = acknowledged, dict.fromkeys(refused, StoreFull(place, "", ""))
    say("whole while it is full", filler.count_whole(store) == (len(acknowledged), 0))
    ballast.unlink()
    say("a commit after", store.commit([Put("/after", "s", 1, 1, None)]).exception(PATIENCE))
    store.close()
    say("faults of the file", verified(place / "store"))


def closed_while_full(place: Path) -> None:
    store = LmdbStore.open(place / "store")
    fill(place, leave=MIB)
    Filler(store).commit_until_full(20_000)
    called = threading.Event()
    store.when_writable(called.set)
    store.close()
    say("closed while it is full", (store.state.name, called.wait(PATIENCE)))


def a_map_that_grows_into_a_full_disk(place: Path) -> None:
    """The map is doubled, and then there is no room: the same batch is refused whole, and written later."""
    store = LmdbStore.open(place / "store", map_size=2**16)
    store.commit([Put("/kept", "s", 1, 1, "before")]).result(PATIENCE)
    ballast = fill(place, leave=150_000)
    large: list[Operation] = [Put("/kept", "s", 1, 1, "lost"), Put("/large", "s", 1, 1, bytes(600_000))]
    error = store.commit(large).exception(PATIENCE)
    say("grown into a full disk", (type(error).__name__, store.latest("/kept").state))
    ballast.unlink()
    taken = threading.Event()
    store.when_writable(taken.set)
    assert taken.wait(PATIENCE)
    say("the same batch after", store.commit(large).exception(PATIENCE))
    say("what it wrote", (store.latest("/kept").state, store.latest("/large").state == bytes(600_000)))
    store.close()
    say("faults of the file", verified(place / "store"))


def refusal(action: Callable[[], object]) -> str:
    try:
        action()
    except StoreUnusable as error:
        return "refused, mend the room" if "space" in error.remedy or "has room" in error.remedy else str(error)
    return "done"


def verified(directory: Path) -> list[str]:
    """What is wrong with the structure of the file."""
    return list(find_problems(directory / "data.mdb"))


globals()[sys.argv[3]](mount(sys.argv[1], Path(sys.argv[2])))
