"""Which mount a directory is on, asked of the system; what follows from it is decided in `_file_system`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from treewarden.storage._errors import StoreUnusable
from treewarden.storage._file_system import network_mount

__all__ = ["MountTable", "mount_table", "refuse_network"]

MountTable: TypeAlias = Callable[[], str | None]  # the text of mountinfo; None where there is none


def mount_table() -> str | None:
    """The mounts that this process sees, as proc_pid_mountinfo(5) writes them; None where there is no such file."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None


def refuse_network(directory: Path, *, mounts: MountTable = mount_table) -> None:
    """Refuse `directory` if it is, or would be made, on a network file system.

    Raises:
        StoreUnusable: names the mount point and the type.
    """
    if (mountinfo := mounts()) is None:
        return
    path = directory.resolve()
    made = next(each for each in (path, *path.parents) if each.exists())
    device = made.stat().st_dev
    found = network_mount(mountinfo, os.fspath(path), device=f"{os.major(device)}:{os.minor(device)}")
    if found is not None:
        raise StoreUnusable(
            directory,
            f"it is on {found.type}, mounted at {found.point}: memory maps and locks do not hold on a network",
            "put it on a disk of this machine, or open it with on_network=OnNetwork.ALLOW if no other machine uses it",
        )
