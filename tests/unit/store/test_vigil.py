"""Waiting for what is asked, and noticing meanwhile what others write."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from perdure.store.sqlite import vigil
from perdure.store.sqlite.database import Database
from perdure.store.sqlite.ear import Ear
from perdure.store.sqlite.statements import fetch
from perdure.store.sqlite.transactions import Transactions
from perdure.store.sqlite.vigil import Vigil
from tests.waiting import wait_until

LONG = 60.0


class Counting(Transactions):
    looks = 0

    def look_for_others(self) -> None:
        self.looks += 1
        super().look_for_others()


class Reading:
    """A vigil and the thread that keeps it, as the writer's does."""

    def __init__(self, path: Path) -> None:
        self.transactions = Counting(Database(str(path)))
        self.transactions.watches = True
        self.vigil: Vigil[str] = Vigil(self.transactions, f"{path}-wal")
        self.items: list[str] = []
        self.noticed = 0
        self.is_open = threading.Event()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()
        assert self.is_open.wait(LONG)

    def _work(self) -> None:
        self.transactions.open(True)
        self.transactions.run([lambda db: fetch(db, "create table numbers (number integer) strict")])
        self.is_open.set()
        while (item := self.vigil.next()) != "stop":
            if item is not None:
                self.items.append(item)
            if self.transactions.others_wrote:
                self.transactions.others_wrote = False
                self.vigil.noticed(are_others=False)
                self.noticed += 1
        self.vigil.close()
        self.transactions.close()

    @property
    def is_listening(self) -> bool:
        ear = self.vigil._ear
        return ear is not None and ear._is_waiting

    def learns_to_listen(self, write: Callable[[], None]) -> None:
        """Until it has heard something it looks again and again."""
        wait_until(lambda: self.vigil._ear is not None, "it has an ear")
        write()
        wait_until(lambda: self.is_listening, "it listens")

    def end(self) -> None:
        self.vigil.put("stop")
        self.thread.join(LONG)
        assert not self.thread.is_alive()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def write(path: Path) -> Iterator[Callable[[], None]]:
    others: list[apsw.Connection] = []

    def write() -> None:
        """On another connection."""
        others.append(apsw.Connection(str(path)))
        fetch(others[-1], "insert into numbers values (1)")

    yield write
    for other in others:
        other.close()


@pytest.fixture
def reading(path: Path) -> Iterator[Reading]:
    reading = Reading(path)
    yield reading
    reading.end()


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_one_that_hears_looks_only_when_something_was_written(
    monkeypatch: pytest.MonkeyPatch, path: Path, write: Callable[[], None]
) -> None:
    monkeypatch.setattr(vigil, "LISTEN_SECONDS", LONG)
    reading = Reading(path)
    try:
        reading.learns_to_listen(write)
        looks, noticed = reading.transactions.looks, reading.noticed
        write()
        wait_until(lambda: reading.noticed > noticed and reading.is_listening, "it noticed and listens again")
    finally:
        reading.end()

    assert reading.transactions.looks - looks <= 3 + vigil.HEARD_POLLS


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_one_that_listens_gets_what_it_is_given_at_once(monkeypatch: pytest.MonkeyPatch, path: Path, write: Callable[[], None]) -> None:
    monkeypatch.setattr(vigil, "LISTEN_SECONDS", 10 * LONG)
    monkeypatch.setattr(vigil, "QUICK_POLLS", 1)
    reading = Reading(path)
    try:
        reading.learns_to_listen(write)
        for number in range(20):
            wait_until(lambda: reading.is_listening, "it listens")
            reading.vigil.put(str(number))
            wait_until(lambda number=number: len(reading.items) > number, "it was given one")
    finally:
        reading.end()

    assert reading.items == [str(number) for number in range(20)]


def test_where_nothing_is_heard_it_is_seen_all_the_same(monkeypatch: pytest.MonkeyPatch, path: Path, write: Callable[[], None]) -> None:
    monkeypatch.setattr(Ear, "of", lambda _path: None)
    reading = Reading(path)
    try:
        for _ in range(3):
            noticed = reading.noticed
            write()
            wait_until(lambda noticed=noticed: reading.noticed > noticed, "it was noticed")
    finally:
        reading.end()


def test_a_wal_that_is_gone_ends_the_listening_and_not_the_thread(reading: Reading, path: Path, write: Callable[[], None]) -> None:
    write()
    wait_until(lambda: reading.noticed > 0, "it was noticed")
    Path(f"{path}-wal").unlink()
    reading.vigil.put("one")

    wait_until(lambda: reading.items == ["one"], "it goes on")
