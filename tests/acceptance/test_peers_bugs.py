"""Bugs that other engines had, by their numbers in the ledger (B), as far as one machine can have them."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import apsw
import pytest

from perdure import Retry, info, receive, step, workflow
from perdure.errors import PayloadTooLarge, RunFailed, StoreError, StoreUnavailable
from perdure.model.records import Record, RecordKind
from perdure.store.protocol import UnknownOutcome
from perdure.store.sqlite import claims
from tests.acceptance.harness import CALM, Stage, kinds, names


@step
async def double(number: int) -> int:
    return 2 * number


@workflow
async def hear() -> str:
    return await receive("word", str)


@workflow
async def twice(number: int) -> int:
    return await double(await double(number))


async def test_b2_two_sweepers_that_find_the_same_dead_worker_give_its_runs_to_one_of_them(stage: Stage) -> None:
    began: list[str | None] = []
    may_end = asyncio.Event()

    @step
    async def place() -> None:
        began.append(info().run_id)
        await may_end.wait()

    @workflow
    async def flow() -> str:
        await place()
        return "placed"

    dying = await stage.engine(flow)
    runs = [await dying.start(flow) for _ in range(10)]
    await stage.until(lambda: len(began) == 10)
    living = [await stage.engine(flow) for _ in range(3)]
    await stage.kill(dying)
    await stage.until(lambda: len(began) == 20, skipping=CALM.sweep_seconds)
    await stage.until_sweep()
    may_end.set()

    assert [await living[0].run(run.id).result(30) for run in runs] == ["placed"] * 10
    assert sorted(began[10:]) == sorted(run.id for run in runs)


async def test_b3_a_worker_that_is_stopping_claims_nothing_more(stage: Stage) -> None:
    may_end = asyncio.Event()

    @step
    async def hold() -> None:
        await may_end.wait()

    @workflow
    async def flow() -> None:
        await hold()

    engine = await stage.engine(flow, hear)
    await engine.start(flow)
    await stage.until(lambda: engine.worker._attempts.under_way)
    stopping = asyncio.create_task(stage.stop(engine))
    await stage.until(lambda: engine.worker._attempts._is_draining)
    client = await stage.client()
    late = await client.start("hear")
    await client.runs()
    may_end.set()
    await stopping

    assert (await client.run(late.id).status()).state == "pending"
    assert await kinds(client.run(late.id)) == []


async def test_b7_a_commit_that_is_repeated_advances_no_number_twice(stage: Stage) -> None:
    @workflow
    async def flow() -> int:
        return sum([await double(number) for number in range(5)])

    engine = await stage.engine(flow)
    count = 0

    def fail_sometimes() -> None:
        nonlocal count
        count += 1
        if count % 3 == 0:
            raise apsw.IOError("disk I/O error")

    stage.commits.before = fail_sometimes
    run = await engine.start(flow, id="order-1")
    assert await run.result(30) == 20
    assert stage.sql("select command from history where kind = 'step' order by position") == [(number,) for number in range(5)]


async def test_b9_b59_a_worker_that_no_hint_reaches_finds_everything_by_looking(stage: Stage) -> None:
    engine = await stage.engine(hear)
    engine.worker._lookout._stop_watching()
    engine._signalled = lambda run_id: None
    run = await engine.start(hear)
    await stage.until_parked(engine, run)
    await run.signal("word", "hello")
    await stage.until_sweep()

    assert await run.result(30) == "hello"


async def test_b10_a_result_that_comes_between_looking_and_waiting_is_not_missed(stage: Stage) -> None:
    never_polls = replace(CALM, poll_seconds=1e6)
    engine, client = await stage.engine(hear, settings=never_polls), await stage.client()
    client._settings = never_polls
    for number in range(10):
        run = await engine.start(hear, id=f"order-{number}")
        waiting = [asyncio.create_task(one.run(run.id).result(30)) for one in (engine, client)]
        for _ in range(number):
            await asyncio.sleep(0)
        await run.signal("word", "hello")
        assert await asyncio.gather(*waiting) == ["hello", "hello"]


async def test_b11_who_waits_for_a_result_gets_it_although_the_store_could_not_be_read_meanwhile(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LOADED_AT_ONCE", 0)  # its history is not read in the transaction of the claim
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    await stage.until_parked(engine, run)
    raised = stage.fail(engine, "load", StoreUnavailable("busy"), times=3)
    waiting = asyncio.create_task(run.result(30))
    await run.signal("word", "hello")

    assert await waiting == "hello"
    assert len(raised) == 3


async def test_b12_b20_whoever_stops_waiting_for_a_result_leaves_nothing_behind(stage: Stage) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    waiting = [asyncio.create_task(run.result()) for _ in range(10)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    with pytest.raises(TimeoutError):
        await run.result(0.001)

    assert not engine._watched
    await stage.stop(engine)  # does not hang


async def test_b12_a_receive_that_was_cancelled_takes_no_signal(stage: Stage) -> None:
    @workflow
    async def flow() -> list[str]:
        for _ in range(20):
            try:
                await receive("word", timeout=0.001)
            except TimeoutError:
                continue  # nobody has sent anything yet
        return [await receive("word", str), await receive("word", str)]

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    await run.signal("word", "first")
    await run.signal("word", "second")

    assert await run.result(30) == ["first", "second"]


@pytest.mark.parametrize("error", [StoreUnavailable, UnknownOutcome, StoreError, TimeoutError, ConnectionError])
async def test_b19_an_error_of_a_step_is_never_taken_for_one_of_the_store(stage: Stage, error: type[Exception]) -> None:
    tries = 0

    @step(retry=Retry(attempts=2, initial=0, jitter=0))
    async def fail() -> None:
        nonlocal tries
        tries += 1
        raise error("of the user's own")

    @workflow
    async def flow() -> None:
        await fail()

    engine = await stage.engine(flow)
    with pytest.raises(RunFailed) as failed:
        await (await engine.start(flow)).result(30)
    assert isinstance(failed.value.__cause__, error)
    assert tries == 2
    assert engine.worker._committer.is_available


async def test_b20_stopping_does_not_hang_on_runs_that_wait_with_a_time_limit(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        async with asyncio.timeout(3600):
            await asyncio.gather(receive("word", timeout=1), asyncio.sleep(3600))

    engine = await stage.engine(flow)
    for _ in range(10):
        await engine.start(flow)
    await stage.until(lambda: engine.worker.live)
    await asyncio.wait_for(stage.stop(engine), 5)

    assert stage.sql("select count(*) from runs where owner is not null") == [(0,)]


async def test_b42_arguments_that_are_too_large_leave_no_run_behind_and_block_nobody(stage: Stage) -> None:
    engine = await stage.engine(twice)
    with pytest.raises(PayloadTooLarge):
        await engine.start("twice", "x" * 2_000_000, id="order-1")

    assert await (await engine.start(twice, 1, id="order-1")).result(30) == 4


async def test_b47_code_that_cannot_be_closed_takes_no_room_for_ever(stage: Stage) -> None:
    @workflow
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except BaseException:
                continue  # swallows everything, on purpose

    engine = await stage.engine(stubborn, twice, settings=replace(CALM, runs_in_memory=2))
    for _ in range(6):
        await engine.start(stubborn)
    await stage.until(lambda: stage.sql("select count(*) from runs where state = 'waiting' and owner is null") == [(6,)])

    await stage.until(lambda: not engine.worker.live)
    assert await (await engine.start(twice, 1)).result(30) == 4


async def test_b50_the_order_of_signals_and_results_is_the_same_on_replay(stage: Stage) -> None:
    seen: list[list[str]] = []

    @workflow
    async def flow() -> list[str]:
        order: list[str] = []
        seen.append(order)

        async def note(what: str, waits: Any) -> None:
            await waits
            order.append(what)

        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(note(f"signal {number}", receive("word")))
                group.create_task(note(f"step {number}", double(number)))
                group.create_task(note(f"timer {number}", asyncio.sleep(0.001 * number)))
        await receive("end")
        return order

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    for _ in range(3):
        await run.signal("word")
    await stage.until_parked(engine, run)
    await stage.kill(engine)
    again = await stage.engine(flow)
    await again.run(run.id).signal("end")

    assert await again.run(run.id).result(30) == seen[0] == seen[-1]
    assert len(seen[0]) == 9


async def test_b51_a_time_limit_is_not_lost_although_the_step_ends_while_it_is_being_cancelled(stage: Stage) -> None:
    @step
    async def ends_when_cancelled() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "ended all the same"
        return "never"

    @workflow
    async def flow() -> str:
        try:
            async with asyncio.timeout(3600):
                return await ends_when_cancelled()
        except TimeoutError:
            return "timed out"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: engine.worker._attempts.under_way)
    stage.skip(3601)

    assert await run.result(30) == "timed out"
    assert await names(run) == []


async def test_b56_a_record_that_makes_no_sense_quarantines_its_run_and_the_worker_goes_on(stage: Stage) -> None:
    engine = await stage.engine(hear)
    damaged, healthy = await engine.start(hear), await engine.start(hear)
    for run in (damaged, healthy):
        await stage.until_parked(engine, run)
    record = Record(2, stage.clock.now(), RecordKind.TIMER, command=7)
    stage.sql(
        "insert into history values ('default', ?, 0, 2, ?, 'timer', '', 7, null, null, null, null, 0, ?)",
        damaged.id,
        record.at,
        record.checksum(),
    )
    for run in (damaged, healthy):
        await run.signal("word", "hello")

    assert await healthy.result(30) == "hello"
    assert "timer 7 fired, but the code has set 0 timers" in (await stage.until_state(damaged, "quarantined")).error["message"]


async def test_b58_one_key_sent_by_many_at_once_is_one_signal(stage: Stage) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    client = await stage.client()
    await asyncio.gather(*([engine, client][number % 2].run(run.id).signal("word", "hello", key="a") for number in range(20)))

    assert await run.result(30) == "hello"
    assert await kinds(run) == ["started", "signal", "completed"]


async def test_b60_a_failure_is_the_same_on_every_replay(stage: Stage) -> None:
    seen: list[str] = []

    @step(retry=Retry(attempts=1))
    async def fail() -> None:
        raise OSError(f"at {time.monotonic_ns()}")

    @workflow
    async def flow() -> None:
        try:
            await fail()
        except OSError as error:
            seen.append(repr(error))
        await receive("word")

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    for _ in range(3):
        await stage.until_parked(engine, run)
        await stage.kill(engine)
        engine = await stage.engine(flow)
        run = engine.run(run.id)
        await run.signal("other")
    await engine.run(run.id).signal("word")
    await engine.run(run.id).result(30)

    assert len(seen) >= 2
    assert len(set(seen)) == 1


async def test_b94_the_key_that_is_promised_for_every_try_is_there_and_the_same(stage: Stage) -> None:
    ledger: set[str] = set()
    placed = 0

    @step(retry=Retry(initial=0, jitter=0))
    async def place() -> None:
        nonlocal placed
        key = info().idempotency_key
        assert key is not None
        if key not in ledger:
            ledger.add(key)
            placed += 1
        if info().attempt < 3:
            raise ConnectionError("the answer is lost")

    @workflow
    async def flow() -> None:
        await place()

    engine = await stage.engine(flow)
    await (await engine.start(flow)).result(30)
    assert placed == 1
