"""Owns a state directory until it is killed; prints a line once it does."""

import os
import signal
import sys
from pathlib import Path

from treewarden.storage import Holder, OwnerLock

lock = OwnerLock.acquire(Path(sys.argv[1]), Holder(os.getpid(), 12, "boot", "dev", "console.sock", 1_700_000_000.0))
print("owned", flush=True)
signal.pause()
