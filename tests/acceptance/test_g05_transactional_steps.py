"""G5: what a transactional step writes to the run's own database is there together with its record, exactly once, or not at all."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import apsw
import pytest

from perdure import Retry, info, step, workflow
from perdure.errors import NotInWorkflow, RetryAfter, RunFailed
from tests.acceptance.harness import CALM, Stage, kinds
from tests.acceptance.transactional import Given, transactional

ONCE = Retry(attempts=1)
AT_ONCE = Retry(attempts=3, initial=0.001)


@pytest.fixture(autouse=True)
async def bookings(stage: Stage) -> None:
    """A table of the user's own, beside perdure's."""
    await stage.engine()
    number = "integer primary key" if stage.is_sqlite else "serial primary key"
    stage.sql(f"create table bookings (number {number}, account text, amount integer, key text unique)")


@pytest.fixture
def book(stage: Stage) -> Any:
    @transactional(stage, retry=ONCE)
    async def book(db, account: str, amount: int) -> int:
        key = info().idempotency_key
        await db.execute(f"insert into {table(stage)} (account, amount, key) values (?, ?, ?)", account, amount, key)
        return sum(row[0] for row in await db.execute(f"select amount from {table(stage)} where account = ?", account))

    return book


@pytest.fixture
def pay(book: Any) -> Any:
    @workflow
    async def pay(account: str, amounts: list[int]) -> list[int]:
        return [await book(account, amount) for amount in amounts]

    return pay


def table(stage: Stage) -> str:
    """As a step names it, whose search path is that of its user."""
    return "bookings" if stage.is_sqlite else f"{stage.schema}.bookings"


def adds(stage: Stage, amount: int = 1) -> str:
    return f"insert into {table(stage)} (account, amount) values ('ann', {amount})"


def booked(stage: Stage) -> list[int]:
    return [amount for (amount,) in stage.sql("select amount from bookings order by number")]


def with_calls(then: Callable[[Any], None]) -> Callable[[Any], None]:
    """For checkpoints that record a transactional step."""
    return lambda batch: then(batch) if any(change.calls for change in batch.changes) else None


async def test_what_it_writes_and_its_record_are_committed_together(stage: Stage, pay: Any) -> None:
    seen: list[tuple[int, int]] = []

    def look() -> None:
        [(rows,)] = stage.sql("select count(*) from bookings")
        [(records,)] = stage.sql("select count(*) from history where kind = 'step'")
        seen.append((rows, records))

    engine = await stage.engine(pay)
    stage.commits.before = stage.commits.after = look
    run = await engine.start(pay, "ann", [5])

    assert await run.result(30) == [5]
    assert booked(stage) == [5]
    assert all(rows == records for rows, records in seen)
    assert {(0, 0), (1, 1)} <= set(seen)


async def test_many_of_them_each_see_what_those_before_have_written(stage: Stage, pay: Any) -> None:
    engine = await stage.engine(pay)
    runs = [await engine.start(pay, f"account {number}", [1, 2, 3]) for number in range(30)]

    assert [await run.result(30) for run in runs] == [[1, 3, 6]] * 30
    assert len(booked(stage)) == 90


async def test_nothing_is_left_of_an_attempt_that_fails_and_its_neighbours_are_not_concerned(stage: Stage, pay: Any) -> None:
    @transactional(stage, retry=ONCE)
    async def overdraw(db, account: str) -> None:
        await db.execute(f"insert into {table(stage)} (account, amount) values (?, -1)", account)
        raise RuntimeError("no credit")

    @workflow
    async def fail(account: str) -> None:
        await overdraw(account)

    engine = await stage.engine(pay, fail)
    bad = [await engine.start(fail, "ben") for _ in range(5)]
    good = [await engine.start(pay, "ann", [7]) for _ in range(5)]

    assert len([await run.result(30) for run in good]) == 5
    for run in bad:
        with pytest.raises(RunFailed, match="no credit"):
            await run.result(30)
    assert booked(stage) == [7] * 5


async def test_a_failed_attempt_is_counted_and_tried_again(stage: Stage) -> None:
    attempts: list[int | None] = []

    @transactional(stage, retry=AT_ONCE)
    async def hesitate(db) -> str:
        attempts.append(info().attempt)
        await db.execute(adds(stage, len(attempts)))
        if len(attempts) == 1:
            raise RetryAfter(timedelta(milliseconds=1))
        if len(attempts) == 2:
            raise OSError("not now")
        return "done"

    @workflow
    async def flow() -> str:
        return await hesitate()

    engine = await stage.engine(flow)
    assert await (await engine.start(flow)).result(30) == "done"
    assert attempts == [1, 2, 3]
    assert booked(stage) == [3]
    assert stage.sql("select count(*) from attempts") == [(0,)]


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError("no"), GeneratorExit()], ids=repr)
async def test_f10_whatever_it_raises_is_recorded_as_its_failure_and_the_store_goes_on(
    stage: Stage, raised: BaseException, pay: Any
) -> None:
    @transactional(stage, retry=ONCE)
    async def leave(db) -> None:
        await db.execute(adds(stage))
        raise raised

    @workflow
    async def flow() -> str:
        try:
            await leave()
        except Exception as error:
            return type(error).__name__
        return "never"

    engine = await stage.engine(flow, pay)
    assert await (await engine.start(flow)).result(30) == "StepFailed"
    assert await (await engine.start(pay, "ben", [7])).result(30) == [7]
    assert booked(stage) == [7]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_unknown_commit_neither_loses_nor_doubles_what_it_wrote(stage: Stage, when: str, pay: Any) -> None:
    engine = await stage.engine(pay)
    calls: list[Any] = []
    failed: list[str] = []

    def fail() -> None:
        if calls and not failed:
            failed.append(when)
            raise apsw.IOError("the reply is lost")

    stage.on_checkpoint = with_calls(calls.append)
    setattr(stage.commits, when, fail)
    run = await engine.start(pay, "ann", [5, 6])

    assert await run.result(30) == [5, 11]
    assert failed == [when]
    assert booked(stage) == [5, 6]


async def test_a_worker_that_was_declared_dead_writes_nothing(stage: Stage) -> None:
    bodies: list[str] = []

    @transactional(stage, retry=ONCE)
    async def note(db) -> str:
        bodies.append("note")
        await db.execute(adds(stage))
        return "noted"

    @workflow
    async def flow() -> str:
        return await note()

    engine = await stage.engine(flow)
    before = engine.worker.incarnation

    def declare_dead(_batch: object) -> None:
        stage.on_checkpoint = lambda batch: None
        stage.sql("update workers set state = 'dead' where incarnation = ?", before)

    stage.on_checkpoint = with_calls(declare_dead)
    run = await engine.start(flow)

    assert await run.result(30) == "noted"
    assert engine.worker.incarnation != before
    assert len(bodies) == (1 if stage.is_sqlite else 2)  # PostgreSQL: before the fence, and undone
    assert booked(stage) == [1]


async def test_it_may_not_end_the_transaction_it_runs_in(stage: Stage) -> None:
    @transactional(stage, retry=ONCE)
    async def end(db, statement: str) -> None:
        await db.execute(adds(stage))
        await db.execute(statement)

    @workflow
    async def flow(statement: str) -> None:
        await end(statement)

    engine = await stage.engine(flow)
    of_one = ("attach 'other.db' as other", "vacuum") if stage.is_sqlite else ("start transaction", "prepare transaction 'x'")
    for statement in ("commit", " /* now */ COMMIT", "rollback", "end", "begin", *of_one):
        run = await engine.start(flow, statement)
        with pytest.raises(RunFailed, match="may not say"):
            await run.result(30)
    assert booked(stage) == []


async def test_it_may_use_savepoints_of_its_own(stage: Stage) -> None:
    @transactional(stage, retry=ONCE)
    async def half(db) -> None:
        await driver_s_own_savepoint(db, adds(stage, 1))
        await db.execute("savepoint mine")
        await db.execute(adds(stage, 2))
        await db.execute("rollback to mine")

    @workflow
    async def flow() -> None:
        await half()

    engine = await stage.engine(flow)
    await (await engine.start(flow)).result(30)
    assert booked(stage) == [1]


async def driver_s_own_savepoint(given: Given, statement: str) -> None:
    if given.is_sqlite:
        with given.db:
            given.db.execute(statement)
    else:
        async with given.db.transaction():
            await given.db.execute(statement)


@pytest.mark.parametrize("is_writing", [True, False], ids=["a statement that writes", "a statement that reads"])
async def test_one_that_holds_the_database_too_long_fails_and_the_others_go_on(stage: Stage, is_writing: bool, pay: Any) -> None:
    endless = "with recursive n (x) as (select 1 union all select x + 1 from n) select null, x, x, null from n"

    @step(transaction=True, retry=ONCE)
    def hold(db: apsw.Connection) -> None:
        db.execute(adds(stage))
        list(db.execute(f"insert into bookings {endless}" if is_writing else f"select max(x) from ({endless})"))

    @workflow
    async def flow() -> None:
        await hold()

    engine = await stage.engine(flow, pay, settings=replace(CALM, transaction_seconds=0.1))
    slow = await engine.start(flow)
    quick = [await engine.start(pay, "ben", [3]) for _ in range(3)]

    with pytest.raises(RunFailed, match="longer than"):
        await slow.result(30)
    assert len([await run.result(30) for run in quick]) == 3
    assert booked(stage) == [3] * 3


async def test_python_that_holds_the_database_too_long_is_undone_when_it_returns(stage: Stage) -> None:
    @step(transaction=True, retry=ONCE, timeout=0.02)
    def dawdle(db: apsw.Connection) -> None:
        db.execute(adds(stage))
        until = time.monotonic() + 0.03
        while time.monotonic() < until:
            pass

    @workflow
    async def flow() -> None:
        await dawdle()

    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match=r"longer than the 0\.02 s"):
        await (await engine.start(flow)).result(30)
    assert booked(stage) == []


async def test_a_result_that_cannot_be_stored_undoes_what_was_written(stage: Stage) -> None:
    @transactional(stage)
    async def answer(db) -> int:
        await db.execute(adds(stage))
        return "not a number"  # type: ignore[return-value]

    @workflow
    async def flow() -> None:
        await answer()

    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match="answer"):
        await (await engine.start(flow)).result(30)
    assert booked(stage) == []


async def test_one_that_was_cancelled_before_its_turn_does_not_run(stage: Stage, book: Any) -> None:
    @workflow
    async def flow() -> str:
        task = asyncio.create_task(book("ann", 1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return "cancelled"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    assert await run.result(30) == "cancelled"
    assert booked(stage) == []
    assert await kinds(run) == ["started", "completed"]


async def test_outside_a_workflow_it_has_no_transaction(book: Any) -> None:
    with pytest.raises(NotInWorkflow, match=r"book\.function"):
        await book("ann", 1)


async def test_an_async_function_is_refused_by_sqlite(stage: Stage) -> None:
    @step(transaction=True)
    async def write(db: apsw.Connection) -> None: ...

    @workflow
    async def flow() -> None:
        await write()

    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match="plain def"):
        await (await engine.start(flow)).result(30)


def test_without_a_place_for_the_connection_it_is_refused_where_it_is_defined() -> None:
    with pytest.raises(TypeError, match="the first parameter of a transactional step is the connection"):

        @step(transaction=True)
        def write() -> None: ...  # type: ignore[arg-type]


def test_exactly_once_and_at_most_once_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="leave it out"):
        step(transaction=True, at_most_once=True)(lambda db: None)  # type: ignore[call-overload]
