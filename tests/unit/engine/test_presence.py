"""A worker's lock file: held while its process lives, free the moment it dies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perdure.engine.presence import Presence, forget_presence, is_gone, promised_until

HOLDS = """
import sys, time
from perdure.engine.presence import Presence
presence = Presence(sys.argv[1], "worker.lock")
presence.promise(12345)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def other(tmp_path: Path):
    """Another process that holds a lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_that_another_process_holds_is_not_gone_until_the_process_dies(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    path = str(tmp_path / "worker.lock")
    assert not is_gone(path)
    assert promised_until(path) == 12345

    other.kill()
    other.wait()
    assert is_gone(path)
    assert Path(path).exists()


def test_looking_does_not_take_the_lock_away_from_its_holder(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    path = str(tmp_path / "worker.lock")
    assert [is_gone(path) for _ in range(3)] == [False] * 3


def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    program = """
import os, sys
from perdure.engine.presence import Presence
presence = Presence(sys.argv[1], "worker.lock")
reads, writes = os.pipe()
if os.fork() == 0:
    os.close(1)
    os.close(writes)
    sys.stdin.read()
    os._exit(0)
print("forked", flush=True)
os._exit(0)
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "forked\n"
    process.wait()
    assert is_gone(str(tmp_path / "worker.lock"))
    process.communicate()  # the child reads the end and goes


def test_a_forked_child_that_leaves_takes_nothing_from_its_parent(tmp_path: Path) -> None:
    program = """
import os, sys
from perdure.engine.crumbs import Crumbs, crumbs_beside
from perdure.engine.presence import Presence
presence = Presence(sys.argv[1], "worker.lock")
crumbs = Crumbs(1)
crumbs.open(crumbs_beside(presence.path))
child = os.fork()
if child == 0:
    presence.leave()
    crumbs.remove()
    os._exit(0)
os.waitpid(child, 0)
print(*sorted(os.listdir(sys.argv[1])), flush=True)
os._exit(0)
"""
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ended.stdout == "worker.crumbs worker.lock\n"


def test_this_process_never_takes_its_own_worker_for_dead(tmp_path: Path) -> None:
    presence = Presence(str(tmp_path), "worker.lock")
    assert not is_gone(presence.path)
    presence.leave()


def test_whoever_leaves_removes_the_file_and_may_leave_twice(tmp_path: Path) -> None:
    presence = Presence(str(tmp_path), "worker.lock")
    presence.leave()
    presence.leave()

    assert not Path(presence.path).exists()
    assert is_gone(presence.path)
    presence.promise(99)  # too late: nothing happens
    assert promised_until(presence.path) == 0


def test_what_was_promised_last_counts(tmp_path: Path) -> None:
    presence = Presence(str(tmp_path), "worker.lock")
    for until in (10**15, 5):
        presence.promise(until)
        assert promised_until(presence.path) == until
        assert Path(presence.path).stat().st_size == 20
    presence.leave()


@pytest.mark.parametrize("content", [b"", b"not a number", b"\xff\xfe"])
def test_a_file_that_promises_nothing_readable_leaves_it_to_the_store(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "worker.lock").write_bytes(content)
    assert promised_until(str(tmp_path / "worker.lock")) == 0


def test_nobody_can_tell_without_a_path() -> None:
    assert not is_gone("")
    assert promised_until("") == 0


def test_what_a_dead_worker_left_is_forgotten_and_what_a_living_one_holds_is_not(tmp_path: Path) -> None:
    dead, crumbs = tmp_path / "dead.lock", tmp_path / "dead.crumbs"
    dead.touch()
    crumbs.touch()
    living = Presence(str(tmp_path), "living.lock")

    for path in (str(dead), str(dead), living.path, ""):
        forget_presence(path)

    assert os.listdir(tmp_path) == ["living.lock"]
    living.leave()
