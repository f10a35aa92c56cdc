"""Hearing that a file is written to."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.store.sqlite.ear import Ear
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
LONG = 60.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"")
    return path


@pytest.fixture
def ear(file: Path) -> Iterator[Ear]:
    ear = Ear.of(str(file))
    assert ear is not None
    yield ear
    ear.close()


def test_what_another_process_writes_is_heard(file: Path, ear: Ear) -> None:
    writes = subprocess.Popen([sys.executable, "-c", f"open({str(file)!r}, 'ab').write(b'x')"])

    assert ear.listen(LONG, lambda: False)
    assert writes.wait() == 0


def test_what_was_heard_is_heard_until_it_is_forgotten(file: Path, ear: Ear) -> None:
    file.write_bytes(b"x")

    assert ear.listen(LONG, lambda: False)
    assert ear.listen(LONG, lambda: False)
    assert ear.forget()
    assert not ear.listen(0, lambda: False)


def test_reading_is_not_heard(file: Path, ear: Ear) -> None:
    file.read_bytes()

    assert not ear.listen(0, lambda: False)


def test_nothing_is_proven_before_something_was_heard(file: Path, ear: Ear) -> None:
    assert not ear.prove()
    file.write_bytes(b"x")
    assert ear.prove()
    ear.forget()
    assert ear.prove()


def test_who_waits_can_be_woken_from_another_thread(ear: Ear) -> None:
    heard: list[bool] = []
    thread = threading.Thread(target=lambda: heard.append(ear.listen(LONG, lambda: False)))
    thread.start()
    wait_until(lambda: ear._is_waiting, "it waits")
    ear.wake()
    thread.join(LONG)

    assert heard == [False]


def test_what_is_needless_by_now_is_not_waited_for(file: Path, ear: Ear) -> None:
    """Who makes it so calls `wake` then, which does nothing where nobody waits yet."""
    file.write_bytes(b"x")
    ear.wake()

    assert not ear.listen(LONG, lambda: True)
    assert ear.listen(LONG, lambda: False)


def test_a_file_that_is_gone_is_noticed(file: Path, ear: Ear) -> None:
    file.unlink()

    assert ear.listen(LONG, lambda: False)
    assert not ear.forget()


def test_after_it_was_closed_it_can_be_woken_without_harm(file: Path) -> None:
    ear = Ear.of(str(file))
    assert ear is not None
    ear.close()
    ear.wake()


def test_where_there_is_no_file_there_is_no_ear(tmp_path: Path) -> None:
    assert Ear.of(str(tmp_path / "none")) is None
