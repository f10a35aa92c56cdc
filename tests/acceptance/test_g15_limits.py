"""G15: what is too large or too much is refused where it is asked for, before anything has happened; a run is never destroyed by it."""

from dataclasses import replace

import pytest

from perdure import receive, set_status, step, workflow
from perdure.errors import InboxFull, PayloadTooLarge, RunFailed
from perdure.settings import Limits
from perdure.store.protocol import Committed
from tests.acceptance.harness import CALM, Stage, kinds

TOO_MUCH = "x" * (1024 * 1024)


@step
async def keep(text: str) -> int:
    return len(text)


@step
async def make(size: int) -> str:
    return "x" * size


@workflow
async def length_of(text: str) -> int:
    return await keep(text)


async def test_an_input_above_the_limit_is_refused_at_start_and_nothing_is_stored(stage: Stage) -> None:
    engine = await stage.engine(length_of)

    with pytest.raises(PayloadTooLarge, match=r"length_of.*1,?048,?\d\d\d bytes|limit"):
        await engine.start(length_of, TOO_MUCH)

    assert stage.content()["runs"] == []


async def test_an_input_just_below_the_limit_goes_through(stage: Stage) -> None:
    engine = await stage.engine(length_of)
    text = "x" * (1024 * 1024 - 100)

    assert await (await engine.start(length_of, text)).result(30) == len(text)


async def test_arguments_of_a_step_above_the_limit_are_refused_before_the_step_begins(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        try:
            await keep(TOO_MUCH)
        except PayloadTooLarge:
            return "refused"
        return "kept"

    engine = await stage.engine(flow)
    run = await engine.start(flow)

    assert await run.result(30) == "refused"
    assert await kinds(run) == ["started", "completed"]


async def test_a_step_result_above_the_limit_fails_that_step_at_once_with_its_name(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        try:
            await make(1024 * 1024)
        except PayloadTooLarge as error:
            return str(error)
        return "kept"

    engine = await stage.engine(flow)
    run = await engine.start(flow)

    assert "step make" in await run.result(30)
    assert [(record.kind, record.attempt) for record in await run.history()] == [("started", 0), ("step_failed", 1), ("completed", 0)]


async def test_a_workflow_result_above_the_limit_fails_the_run(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        return TOO_MUCH

    engine = await stage.engine(flow)

    with pytest.raises(RunFailed, match="workflow flow") as failed:
        await (await engine.start(flow)).result(30)
    assert isinstance(failed.value.__cause__, PayloadTooLarge)


async def test_a_signal_above_the_limit_is_refused_and_its_key_stays_free(stage: Stage) -> None:
    @workflow
    async def flow() -> int:
        return len(await receive("text", str))

    engine = await stage.engine(flow)
    run = await engine.start(flow)

    with pytest.raises(PayloadTooLarge, match="signal text"):
        await run.signal("text", TOO_MUCH, key="a")
    await run.signal("text", "short", key="a")

    assert await run.result(30) == 5


async def test_a_note_above_the_limit_is_refused_where_it_is_set(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        set_status("first")
        try:
            set_status(TOO_MUCH)
        except PayloadTooLarge:
            return "refused"
        return "kept"

    engine = await stage.engine(flow)
    run = await engine.start(flow)

    assert await run.result(30) == "refused"
    assert (await run.status()).note == "first"


async def test_an_inbox_that_is_full_refuses_the_next_signal_and_takes_more_once_it_was_read(stage: Stage) -> None:
    @workflow
    async def flow() -> list[int]:
        return [await receive("number", int) for _ in range(4)]

    small = replace(CALM, limits=Limits(inbox_signals=3))
    await stage.stop(await stage.engine())
    sender = await stage.client()
    sender._settings = small
    run = await sender.start("flow")
    for number in range(3):
        await run.signal("number", number)
    before = stage.content()
    with pytest.raises(InboxFull, match="3 undelivered signals wait for run .*; this one was not stored: send it again later"):
        await run.signal("number", 3, key="a")
    assert stage.content() == before

    await stage.engine(flow)
    await stage.until(lambda: stage.sql("select * from inbox") == [])
    await run.signal("number", 3, key="a")
    assert await run.result(30) == [0, 1, 2, 3]


async def test_how_much_a_checkpoint_reads_and_claims_is_as_the_settings_of_its_engine_say(stage: Stage) -> None:
    @workflow
    async def flow() -> list[int]:
        return [await receive("number", int) for _ in range(7)]

    await stage.stop(await stage.engine())
    sender = await stage.client()
    runs = [await sender.start("flow") for _ in range(5)]
    for number in range(7):
        await runs[0].signal("number", number)
    done: list[Committed] = []
    stage.on_answer = done.append

    engine = await stage.engine(flow, settings=replace(CALM, inbox_page=2, claim_page=3))
    assert await engine.run(runs[0].id).result(30) == list(range(7))
    await stage.until(lambda: not stage.sql("select 1 from runs where state = 'pending'"))

    signals = [sum(record.kind == "signal" for record in one.records) for answer in done for one in answer.written]
    assert sorted({count for count in signals if count}) == [1, 2]
    assert max(len(answer.claimed) for answer in done) == 3


async def test_a_history_that_reaches_its_limit_quarantines_the_run_and_keeps_all_of_it(stage: Stage) -> None:
    @workflow(name="flow")
    async def endless() -> None:
        while True:
            await keep("text")

    engine = await stage.engine(endless, length_of, settings=replace(CALM, limits=Limits(history_records=20)))
    run, neighbour = await engine.start("flow"), await engine.start(length_of, "four")

    status = await stage.until_state(run, "quarantined")
    assert "its history has reached the limit of 20 records" in status.error["message"]
    assert len(await run.history()) == 20
    assert await neighbour.result(30) == 4


async def test_code_that_spins_without_waiting_fails_its_run_and_not_its_worker(stage: Stage) -> None:
    @workflow
    async def spin() -> None:
        import asyncio

        while True:
            await asyncio.sleep(0)

    engine = await stage.engine(spin, length_of)
    run, neighbour = await engine.start(spin), await engine.start(length_of, "four")

    with pytest.raises(RunFailed, match="it spins"):
        await run.result(30)
    assert await neighbour.result(30) == 4
