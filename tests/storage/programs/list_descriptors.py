"""Prints where every descriptor of this process leads."""

from pathlib import Path

for link in Path("/proc/self/fd").iterdir():
    try:
        target = link.readlink()
    except FileNotFoundError:
        continue  # the listing's own descriptor
    print(link.name, target)
