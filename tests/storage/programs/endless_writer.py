"""Commits without end; tells on stdout, one line per acknowledgement, what was acknowledged.

Arguments: the store's directory, the first number to write. A line is "path number sequence".
"""

import itertools
import os
import sys
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from treewarden.storage import LmdbStore, Put


def acknowledge(future: Future[int], *, path: str, number: int) -> None:
    os.write(1, f"{path} {number} {future.result()}\n".encode())


store = LmdbStore.open(Path(sys.argv[1]))
for number in itertools.count(int(sys.argv[2])):
    path = f"/writer/{number % 3}"
    future = store.commit([Put(path, "number", 1, 1, {"number": number, "padding": b"x" * (number % 5000)})])
    future.add_done_callback(partial(acknowledge, path=path, number=number))
    if number % 7 == 0:
        future.result()  # now a lone commit, now a group
