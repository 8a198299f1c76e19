"""Mounts a small tmpfs where only this process and whoever enters its namespace see it; holds it until stdin ends.

Argument: the folder to mount it on. Prints "ready", or "cannot: reason" where it is not possible.
"""

import os
import subprocess
import sys

INSIDE = "--held"  # told to the second of the two: unshare(1) makes the namespace, and runs this again in it

if INSIDE in sys.argv:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", sys.argv[1]], capture_output=True, text=True, check=False
    )
    print("ready" if done.returncode == 0 else f"cannot: {done.stderr.strip()}", flush=True)
    sys.stdin.read()
else:
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv, INSIDE])
