"""Which file systems are refused."""

from pathlib import Path

import pytest

from perdure.errors import UnsafeFileSystem
from perdure.store.sqlite.filesystems import NETWORK_TYPES, file_system_of, refuse_network_file_system

MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw 0 0
server:/export /shared nfs4 rw 0 0
/dev/vdb /shared/local xfs rw 0 0
//nas/share /mnt/with\\040space cifs rw 0 0
host:/ /mnt/ssh fuse.sshfs rw 0 0
broken
/dev/vdc /srv ext4 rw 0 0
server:/srv /srv nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/orders.db", "ext4"),
        ("/shared/orders.db", "nfs4"),
        ("/shared/local/orders.db", "xfs"),
        ("/sharedness/orders.db", "ext4"),
        ("/mnt/with space/orders.db", "cifs"),
        ("/srv/orders.db", "nfs"),
        ("/srv", "nfs"),
    ],
)
def test_the_mount_with_the_longest_folder_decides_and_of_two_the_later(path: str, expected: str) -> None:
    assert file_system_of(path, MOUNTS.splitlines()) == expected


@pytest.mark.parametrize("mounted", ["nfs", "nfs4", "cifs", "smbfs", "smb3", "fuse.sshfs", "9p", "ceph", "glusterfs", "lustre"])
def test_network_file_systems_are_refused_by_name(mounted: str) -> None:
    with pytest.raises(UnsafeFileSystem, match=mounted):
        refuse_network_file_system("/data/orders.db", f"/dev/vda / ext4 rw 0 0\nserver:/x /data {mounted} rw 0 0\n")


@pytest.mark.parametrize("mounted", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs", "apfs"])
def test_disks_of_this_machine_are_not(mounted: str) -> None:
    assert mounted not in NETWORK_TYPES
    refuse_network_file_system("/data/orders.db", f"/dev/vda /data {mounted} rw 0 0\n")


def test_a_link_onto_a_network_file_system_is_followed(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "net")

    with pytest.raises(UnsafeFileSystem):
        refuse_network_file_system(str(tmp_path / "link" / "orders.db"), f"/dev/vda / ext4 rw 0 0\nserver:/x {tmp_path}/net nfs rw 0 0\n")
