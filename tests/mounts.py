"""Processes with mounts of their own, which are gone with them: for root, and for everybody where the kernel lets users have namespaces."""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache

import pytest

OWN_MOUNTS = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")


def on_a_disk_of_its_own(folder: str, size: str, *command: str) -> list[str]:
    """The command, with a small disk mounted at this folder."""
    return [*OWN_MOUNTS, "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"', folder, *command]


def at_another_place(folder: str, place: str, *command: str) -> list[str]:
    """The command, with this folder mounted at another place, too."""
    return [*OWN_MOUNTS, "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', folder, place, *command]


@cache
def may_mount() -> bool:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(on_a_disk_of_its_own(folder, "1m", "true"), capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not may_mount(), reason="this machine lets nobody mount")
