"""Which file system a store is on, and which ones are refused."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from treewarden.storage import LmdbStore, OnNetwork, StoreUnusable, _lmdb_store
from treewarden.storage._file_system import NETWORK_TYPES, Mount, mount_of, mounts_in, network_mount
from treewarden.storage._lmdb_files import open_environment
from treewarden.storage._mounts import refuse_network

LINES = r"""
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 27 0:21 / /proc rw - proc proc rw
40 27 0:40 / /home rw shared:2 master:3 propagate_from:4 unbindable - nfs4 server:/home rw,vers=4.2
41 40 0:41 / /home/local rw - tmpfs tmpfs rw
42 27 0:42 / /mnt/a\040tab\011newline\012back\134slash\043end rw - fuse.sshfs host:/ rw
43 27 0:43 / /srv rw - xfs /dev/vdb rw
44 43 0:44 / /srv rw - cifs //server/share rw
45 27 0:45 / /hidden/below rw - nfs server:/below rw
46 27 0:46 / /hidden rw - tmpfs tmpfs rw
47 27 0:47 /@ /btrfs rw - btrfs /dev/vdc rw
""".strip()


@pytest.mark.parametrize(
    ("path", "device", "expected"),
    [
        ("/", "254:0", "ext4"),
        ("/var/lib", "254:0", "ext4"),
        ("/home", "0:40", "nfs4"),
        ("/home/me/.treewarden", "0:40", "nfs4"),
        ("/homeless", "254:0", "ext4"),
        ("/home/local/state", "0:41", "tmpfs"),
        ("/mnt/a tab\tnewline\nback\\slash#end/x", "0:42", "fuse.sshfs"),
        ("/srv/store", "0:44", "cifs"),  # the later mount hides the earlier one
        ("/hidden/below/store", "0:46", "tmpfs"),  # a longer mount point that nobody can see
        ("/btrfs/part/store", "0:99", "btrfs"),  # a part of a file system, with a device of its own
    ],
)
def test_a_path_is_on_the_mount_that_its_device_and_the_longest_point_tell(
    path: str, device: str, expected: str
) -> None:
    found = mount_of(LINES, path, device=device)

    assert found is not None
    assert expected == found.type


def test_what_is_hidden_is_told_by_order_alone_when_no_device_helps() -> None:
    """The same device twice, as with a mount moved over itself: the last line is what one sees."""
    found = mount_of("1 0 0:1 / /a rw - nfs s:/ rw\n2 1 0:1 / /a rw - ext4 /dev/x rw\n", "/a/store", device="0:1")

    assert found == Mount("/a", "ext4", "0:1")


@pytest.mark.parametrize("line", ["", "a b c", "1 2 3:4 / /mnt rw", "1 2 3:4 / - nfs x rw", " - "])
def test_a_line_of_another_shape_is_passed_over(line: str) -> None:
    assert list(mounts_in(line)) == []
    assert mount_of(line, "/mnt", device="3:4") is None


@pytest.mark.parametrize("network", sorted(NETWORK_TYPES))
def test_each_network_file_system_is_found(network: str) -> None:
    found = network_mount(f"1 0 0:9 / /net rw - {network} src rw", "/net/store", device="0:9")

    assert found == Mount("/net", network, "0:9")


@pytest.mark.parametrize("local", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs", "fuseblk", "virtiofs"])
def test_a_local_file_system_is_not(local: str) -> None:
    assert network_mount(f"1 0 0:9 / / rw - {local} src rw", "/store", device="0:9") is None


def on(network: str, place: Path) -> str:
    """A mountinfo that has `place` on `network`."""
    device = place.stat().st_dev
    return f"1 0 {os.major(device)}:{os.minor(device)} / {place} rw - {network} src rw\n"


def test_a_store_on_a_network_is_refused_before_anything_is_made_there(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "store"
    with pytest.raises(StoreUnusable) as caught:
        open_environment(directory, map_size=2**20, mounts=lambda: on("nfs4", tmp_path))

    assert list(tmp_path.iterdir()) == []
    assert str(caught.value) == (
        f"cannot use {directory}: it is on nfs4, mounted at {tmp_path}: memory maps and locks do not hold on a"
        " network; put it on a disk of this machine, or open it with on_network=OnNetwork.ALLOW if no other"
        " machine uses it"
    )


def test_a_link_to_a_network_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "net")
    with pytest.raises(StoreUnusable, match="it is on cifs"):
        refuse_network(tmp_path / "link" / "store", mounts=lambda: on("cifs", tmp_path / "net"))


def test_a_store_on_a_network_is_opened_if_its_owner_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = on("nfs", tmp_path)
    monkeypatch.setattr(_lmdb_store, "open_environment", partial(open_environment, mounts=lambda: text))
    with pytest.raises(StoreUnusable, match="it is on nfs"):
        LmdbStore.open(tmp_path / "store")
    store = LmdbStore.open(tmp_path / "store", on_network=OnNetwork.ALLOW)
    store.close()

    assert (tmp_path / "store" / "data.mdb").exists()


def test_nothing_is_refused_where_the_system_does_not_list_its_mounts(tmp_path: Path) -> None:
    refuse_network(tmp_path, mounts=lambda: None)


def can_unshare() -> bool:
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and subprocess.run([unshare, "-rm", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_unshare(), reason="needs a mount namespace of its own")
@pytest.mark.parametrize(
    "mount",
    [
        'mount -t tmpfs tmpfs "$1/store"',
        # The store exists in the lower layer: opening it copies it up, and both handles see one file.
        """
        mkdir "$1/upper" "$1/work" &&
        mount -t overlay -o "lowerdir=$1/store,upperdir=$1/upper,workdir=$1/work" overlay "$1/store"
        """,
    ],
    ids=["tmpfs", "overlay"],
)
def test_a_store_lives_on_a_local_file_system_of_any_kind(tmp_path: Path, programs: Path, mount: str) -> None:
    """Mounted in a namespace of its own, which ends with the program."""
    LmdbStore.open(tmp_path / "store").close()
    script = f'{mount.strip()} || exit 77; exec "$2" "$3" "$1/store"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", tmp_path, sys.executable, programs / "keep_and_read_again.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"cannot mount it here: {done.stderr.strip()}")

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "kept\n")
