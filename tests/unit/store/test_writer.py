"""The writer's thread: what is asked while a transaction is under way shares the next, in the order asked."""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.errors import StoreError
from perdure.store.sqlite import writer
from perdure.store.sqlite.database import Database
from perdure.store.sqlite.statements import fetch
from perdure.store.sqlite.threads import ThreadRunner
from perdure.store.sqlite.transactions import Connection, commit_transaction


class Gate:
    """Counts commits, and holds them while it is shut."""

    def __init__(self) -> None:
        self.commits = 0
        self.reached = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def commit(self, db: Connection) -> None:
        self.commits += 1
        self.reached.set()
        assert self.open.wait(30)
        commit_transaction(db)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def runner(tmp_path: Path, gate: Gate) -> AsyncIterator[ThreadRunner]:
    runner = ThreadRunner(Database(str(tmp_path / "store.db")), gate.commit)
    await runner.open(create=True)
    await runner.write(lambda db: fetch(db, "create table numbers (number integer primary key) strict"))
    gate.commits = 0
    yield runner
    gate.open.set()
    await runner.close()


def insert(number: int) -> Callable[[Connection], int]:
    def function(db: Connection) -> int:
        fetch(db, "insert into numbers values (?)", (number,))
        return number

    return function


def order(db: Connection) -> list[int]:
    return [number for (number,) in fetch(db, "select number from numbers order by rowid")]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_all_that_is_asked_in_one_turn_of_the_loop_is_one_transaction(runner: ThreadRunner, gate: Gate) -> None:
    answers = await asyncio.gather(*(runner.write(insert(number)) for number in range(100)))

    assert answers == list(range(100))
    assert gate.commits == 1


async def test_what_is_asked_while_one_transaction_is_under_way_shares_the_next(runner: ThreadRunner, gate: Gate) -> None:
    gate.open.clear()
    first = asyncio.ensure_future(runner.write(insert(0)))
    await turns()
    assert await asyncio.to_thread(gate.reached.wait, 30)
    rest = []
    for number in range(1, 50):
        rest.append(asyncio.ensure_future(runner.write(insert(number))))
        await asyncio.sleep(0)

    gate.open.set()
    await asyncio.gather(first, *rest)

    assert gate.commits == 2


async def test_functions_run_in_the_order_they_were_asked_for(runner: ThreadRunner) -> None:
    seen: list[int] = []

    await asyncio.gather(*(runner.write(lambda db, number=number: seen.append(number)) for number in range(50)))

    assert seen == list(range(50))


async def test_a_transaction_has_a_limit_of_functions(runner: ThreadRunner, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FUNCTIONS_IN_ONE_TRANSACTION", 10)

    answers = await asyncio.gather(*(runner.write(insert(number)) for number in range(35)))

    assert answers == list(range(35))
    assert gate.commits == 4


async def test_nothing_is_answered_before_the_commit(runner: ThreadRunner, gate: Gate) -> None:
    gate.open.clear()
    gate.reached.clear()
    asked = asyncio.ensure_future(runner.write(insert(1)))
    await turns()
    assert await asyncio.to_thread(gate.reached.wait, 30)
    await turns(20)
    assert not asked.done()

    gate.open.set()

    assert await asked == 1


async def test_the_loop_turns_while_a_commit_hangs_and_reads_are_answered(runner: ThreadRunner, gate: Gate) -> None:
    await runner.write(insert(1))
    gate.open.clear()
    hanging = asyncio.ensure_future(runner.write(insert(2)))
    await turns()

    assert await runner.read(order) == [1]

    gate.open.set()
    await hanging


async def test_one_that_was_cancelled_before_its_transaction_is_not_run_and_disturbs_nobody(runner: ThreadRunner, gate: Gate) -> None:
    gate.open.clear()
    gate.reached.clear()
    first = asyncio.ensure_future(runner.write(insert(1)))
    await turns()
    assert await asyncio.to_thread(gate.reached.wait, 30)
    second, third = asyncio.ensure_future(runner.write(insert(2))), asyncio.ensure_future(runner.write(insert(3)))
    await turns()
    second.cancel()

    gate.open.set()

    assert await asyncio.gather(first, third) == [1, 3]
    assert await runner.read(order) == [1, 3]


async def test_one_that_was_cancelled_during_its_transaction_disturbs_nobody(runner: ThreadRunner, gate: Gate) -> None:
    gate.open.clear()
    gate.reached.clear()
    first, second = asyncio.ensure_future(runner.write(insert(1))), asyncio.ensure_future(runner.write(insert(2)))
    await turns()
    assert await asyncio.to_thread(gate.reached.wait, 30)
    first.cancel()

    gate.open.set()

    assert await second == 2
    assert await runner.write(insert(3)) == 3


async def test_a_blocking_write_waits_for_no_event_loop(runner: ThreadRunner) -> None:
    assert runner.write_now(insert(7)) == 7

    assert await runner.read(order) == [7]


async def test_readers_cannot_write(runner: ThreadRunner) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        await runner.read(insert(1))

    assert await runner.read(order) == []


async def test_a_read_that_fails_harms_no_other_read(runner: ThreadRunner) -> None:
    def fail(db: Connection) -> None:
        raise ZeroDivisionError

    answers = await asyncio.gather(runner.read(order), runner.read(fail), runner.read(order), return_exceptions=True)

    assert answers[0] == answers[2] == []
    assert isinstance(answers[1], ZeroDivisionError)


async def test_closing_answers_what_was_asked_and_ends_the_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    runner = ThreadRunner(Database(str(tmp_path / "other.db")))
    await runner.open(create=True)
    await runner.write(lambda db: fetch(db, "create table numbers (number integer primary key) strict"))
    asked = [asyncio.ensure_future(runner.write(insert(number))) for number in range(5)]
    reading = asyncio.ensure_future(runner.read(order))
    await asyncio.sleep(0)

    await asyncio.gather(runner.close(), runner.close())

    assert await asyncio.gather(*asked) == list(range(5))
    assert isinstance(await reading, list)
    assert set(threading.enumerate()) == before
    assert not os.path.exists(tmp_path / "other.db-wal")


async def test_a_store_is_bound_to_the_loop_it_was_opened_on(runner: ThreadRunner) -> None:
    async def ask() -> None:
        await runner.read(order)

    with pytest.raises(StoreError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, ask())


async def test_a_forked_process_is_told_to_open_its_own(runner: ThreadRunner) -> None:
    heard: Any = multiprocessing.get_context("fork").SimpleQueue()
    child = os.fork()
    if child == 0:
        try:
            try:
                runner.write_now(insert(1))
                heard.put("it wrote")
            except StoreError as error:
                heard.put(str(error))
        finally:
            os._exit(0)

    os.waitpid(child, 0)

    assert "after the fork" in heard.get()
    assert await runner.write(insert(2)) == 2


class Stuck(apsw.Connection):
    """As where closing meets an error of the disk."""

    def close(self, force: bool = False) -> None:
        if not force:
            raise apsw.IOError("cannot be closed")
        super().close(force)


async def test_a_connection_that_cannot_even_be_closed_does_not_end_the_thread_that_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = ThreadRunner(Database(str(tmp_path / "store.db")))
    await runner.open(True)
    stuck = Stuck(str(tmp_path / "store.db"))
    with monkeypatch.context() as patch:
        patch.setattr(Database, "connect_reader", lambda self: stuck)
        with pytest.raises(StoreError):
            await runner.read(lambda db: fetch(db, "select no_such_column"))

    assert await runner.read(lambda db: fetch(db, "select 1")) == [(1,)]
    await runner.close()
    stuck.close(force=True)
