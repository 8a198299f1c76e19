"""Which file system a path is on, and whether a store may live there.

Pure: text of /proc/self/mountinfo (proc_pid_mountinfo(5)) in, a mount out. A store needs a memory map
that sees what write(2) wrote, and locks and futexes that every user of the file shares: a file system
whose files another machine may change gives neither. The set of those is closed: a type it does not
name is taken for local. overlayfs is local: a file of a lower layer is copied up at its first opening
for writing, which comes before LMDB maps it (decision 0021). Not told: what lies under a file system,
such as a block device at the other end of a network, which is as good as its driver.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, final

__all__ = ["NETWORK_TYPES", "Mount", "OnNetwork", "mount_of", "mounts_in", "network_mount"]

NETWORK_TYPES: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "auristorfs", "coda", "ncpfs", "davfs"),
        *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2", "panfs", "wekafs"),
        *("gfs2", "ocfs2"),  # a disk that several machines mount: their futexes are not shared
        *("vboxsf", "prl_fs", "vmhgfs"),  # folders of a virtual machine's host
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.juicefs", "fuse.mfs", "fuse.moosefs"),
        *("fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.goofys", "fuse.blobfuse", "fuse.blobfuse2"),
        *("fuse.curlftpfs", "fuse.davfs2", "fuse.smbnetfs", "fuse.nfs", "fuse.quobyte", "fuse.vmhgfs-fuse"),
    }
)

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


@final
class OnNetwork(Enum):
    """What to do with a store on a network file system."""

    REFUSE = auto()
    """Refuse it: its map and its locks do not hold there."""
    ALLOW = auto()
    """Use it: you know that no other machine ever opens it, and that its map sees its writes."""


@final
@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: `type` is mounted at `point`; `device` is "major:minor", as st_dev has it."""

    point: str
    type: str
    device: str


def network_mount(mountinfo: str, path: str, *, device: str) -> Mount | None:
    """The network file system that `path` is on; None if it is on none.

    `path` is absolute and resolved; `device` is its own "major:minor".
    """
    found = mount_of(mountinfo, path, device=device)
    return found if found is not None and found.type in NETWORK_TYPES else None


def mount_of(mountinfo: str, path: str, *, device: str) -> Mount | None:
    """The mount that `path` is on; None if no line tells.

    The longest mount point above the path, and the last one of those that share it: it hides the
    others. A mount that lies hidden under a later one of a directory above it is longer, but of
    another device; so the mounts of the path's own device go first. Some file systems (btrfs) give
    their parts devices that no line names; then the longest decides alone.
    """
    above = [mount for mount in mounts_in(mountinfo) if _is_above(mount.point, path)]
    candidates = [mount for mount in above if mount.device == device] or above
    return max(reversed(candidates), key=lambda mount: len(mount.point), default=None)


def mounts_in(mountinfo: str) -> Iterator[Mount]:
    """The mounts of `mountinfo`, in its order; a line of another shape is passed over."""
    for line in mountinfo.splitlines():
        # 36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/root rw: any number of
        # optional fields stand before the hyphen. Blanks within a field are escaped.
        fields, separator, described = line.partition(" - ")
        parts, types = fields.split(" "), described.split(" ")
        if separator and len(parts) >= 6:  # noqa: PLR2004 - the fields that are not optional
            yield Mount(point=_unescaped(parts[4]), type=_unescaped(types[0]), device=parts[2])


def _is_above(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _unescaped(field: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), field)
