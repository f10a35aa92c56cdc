"""Whether a file lies on a file system on which SQLite's locks and shared memory can be relied on."""

import os
import re
from collections.abc import Iterable

from perdure.errors import UnsafeFileSystem

NETWORK_TYPES = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2"}
    | {"smb3", "smbfs", "vboxsf", "virtiofs"}
    | {
        "fuse.ceph",
        "fuse.cephfs",
        "fuse.curlftpfs",
        "fuse.davfs",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.smbnetfs",
        "fuse.sshfs",
    }
)
"""Types as /proc/mounts names them: SQLite's file locks or the shared memory of its WAL do not hold there between hosts."""

MOUNTS = "/proc/mounts"


def refuse_network_file_system(path: str, mounts: str | None = None) -> None:
    """Raises UnsafeFileSystem. `mounts` is the text of /proc/mounts; where there is none, nothing is known and nothing refused."""
    if mounts is None:
        if not os.path.exists(MOUNTS):
            return
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            mounts = file.read()
    mounted = file_system_of(os.path.realpath(path), mounts.splitlines())
    if mounted in NETWORK_TYPES:
        raise UnsafeFileSystem(
            f"{path} is on a network file system ({mounted}), where SQLite's locks cannot be relied on: "
            "keep the store on a disk of this machine"
        )


def file_system_of(path: str, mounts: Iterable[str]) -> str | None:
    """The type of the mount with the longest matching folder; of two on one folder the later hides the earlier."""
    longest, found = -1, None
    for line in mounts:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        folder = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1])
        if (path == folder or path.startswith(folder.rstrip("/") + "/")) and len(folder) >= longest:
            longest, found = len(folder), fields[2]
    return found
