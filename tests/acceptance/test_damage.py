"""A damaged row quarantines its run and no other; a damaged file says so."""

from dataclasses import replace
from typing import Any

import apsw
import pytest

from perdure import Client, continue_as_new, receive, step, workflow
from perdure.errors import StoreError
from tests.acceptance.harness import CALM, Stage


@step
async def keep(value: Any) -> str:
    return "kept"


@workflow
async def hear() -> int:
    return await receive("number", int)


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────

DAMAGE = {
    "a flipped bit in a result": "update history set output = x'32' where run_id = 'damaged' and position = 2",
    "a truncated blob": "update history set output = x'' where run_id = 'damaged' and position = 2",
    "another name": "update history set name = 'kepT' where run_id = 'damaged' and position = 2",
    "another time": "update history set at = at + 1 where run_id = 'damaged' and position = 2",
    "an unknown kind": "update history set kind = 'stop' where run_id = 'damaged' and position = 2",
    "a missing record": "delete from history where run_id = 'damaged' and position = 2",
    "another input of the run": "update runs set input = x'7b7d20' where id = 'damaged'",
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_f37_a_damaged_row_quarantines_its_run_and_no_other(stage: Stage, damage: str) -> None:
    @workflow
    async def flow() -> int:
        await keep("a")
        await keep("b")
        return await receive("number", int)

    engine = await stage.engine(flow)
    for name in ("damaged", "healthy"):
        await stage.until_parked(engine, await engine.start(flow, id=name))
    await stage.stop(engine)
    stage.sql(DAMAGE[damage])
    before = stage.content()["history"]

    again = await stage.engine(flow)
    for name in ("damaged", "healthy"):
        await again.run(name).signal("number", 5)
    assert await again.run("healthy").result(30) == 5
    status = await stage.until_state(again.run("damaged"), "quarantined")

    assert "CorruptedHistory" in status.error["type"]
    assert "nothing was changed" in status.error["message"]
    assert [row for row in stage.content()["history"] if row[1] == "damaged"] == [row for row in before if row[1] == "damaged"]
    assert len((await again.runs()).runs) == 2  # lists still work


async def test_a_damaged_run_goes_on_after_the_damage_is_repaired(stage: Stage) -> None:
    @workflow
    async def flow() -> int:
        await keep("a")
        return await receive("number", int)

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    ((output,),) = stage.sql("select output from history where position = 2")
    stage.sql("update history set output = x'32' where position = 2")
    await run.signal("number", 5)
    await stage.until_state(run, "quarantined")
    stage.sql("update history set output = ? where position = 2", output)
    await run.resume()

    assert await run.result(30) == 5


@pytest.mark.parametrize("column", ["note", "waiting_for", "input"])
async def test_f37_a_damaged_word_about_one_run_is_shown_as_such_and_hides_no_other(stage: Stage, column: str) -> None:
    engine = await stage.engine(hear)
    for name in ("damaged", "healthy"):
        await stage.until_parked(engine, await engine.start(hear, id=name))
    stage.sql(f"update runs set {column} = x'7b226174223a22776f726b22' where id = 'damaged'")

    assert {run.id for run in (await engine.runs()).runs} == {"damaged", "healthy"}
    status = await engine.run("damaged").status()
    assert column == "waiting_for" or "damaged" in getattr(status, column)


INBOX_DAMAGE = {
    "a flipped bit in a payload": "update inbox set payload = x'35' where run_id = 'damaged'",
    "a topic that is no text": "update inbox set topic = cast(x'ff41' as text) where run_id = 'damaged'",
}


@pytest.mark.parametrize("damage", INBOX_DAMAGE)
async def test_f37_a_damaged_signal_quarantines_its_run_and_no_other_and_is_delivered_once_it_was_put_right(
    stage: Stage, damage: str
) -> None:
    engine = await stage.engine(hear)
    for name in ("damaged", "healthy"):
        await stage.until_parked(engine, await engine.start(hear, id=name))
    await stage.stop(engine)
    client = await stage.client()
    for name in ("damaged", "healthy"):
        await client.run(name).signal("number", 4)
    kept = stage.sql("select topic, payload from inbox where run_id = 'damaged'")[0]
    stage.sql(INBOX_DAMAGE[damage])

    again = await stage.engine(hear)
    assert await again.run("healthy").result(30) == 4
    status = await stage.until_state(again.run("damaged"), "quarantined")
    assert "CorruptedHistory" in status.error["type"]
    assert "signal 1" in status.error["message"]
    assert "resume the run" in status.error["message"]
    stage.sql("update inbox set topic = ?, payload = ? where run_id = 'damaged'", *kept)
    await again.run("damaged").resume()

    assert await again.run("damaged").result(30) == 4


async def test_a_damaged_signal_stops_a_run_in_memory_whose_recorded_steps_stay_recorded(stage: Stage) -> None:
    bodies: list[int] = []

    @step
    async def count(number: int) -> int:
        bodies.append(number)
        return number

    @workflow
    async def flow() -> int:
        await count(1)
        heard = await receive("number", int)
        return heard + await count(2)

    engine = await stage.engine(flow, settings=replace(CALM, linger_seconds=60.0))
    run = await engine.start(flow)
    await stage.until(lambda: bodies == [1] and not engine.worker.live[run.id].is_busy)
    stage.sql(
        "insert into inbox (namespace, run_id, number, arrived_at, id, topic, payload, checksum) "
        "values ('default', ?, 1, 5, 's1', 'number', x'34', 0)",
        run.id,
    )
    await run.signal("number", 5)
    await stage.until_state(run, "quarantined")
    stage.sql("delete from inbox where number = 1")
    await run.resume()

    assert await run.result(30) == 7
    assert bodies == [1, 2]


async def test_f37_a_run_whose_input_was_damaged_before_it_began_is_quarantined_and_runs_nothing(stage: Stage) -> None:
    ran: list[str] = []

    @workflow
    async def greet(name: str) -> str:
        ran.append(name)
        return name

    client_engine = await stage.engine()
    for name in ("damaged", "healthy"):
        await client_engine.start("greet", name, id=name)
    stage.sql("update runs set input = cast(replace(cast(input as text), 'damaged', 'dbmaged') as blob) where id = 'damaged'")

    engine = await stage.engine(greet)
    assert await engine.run("healthy").result(30) == "healthy"
    status = await stage.until_state(engine.run("damaged"), "quarantined")

    assert "input of the run is damaged" in status.error["message"]
    assert ran == ["healthy"]


@pytest.mark.parametrize("column", ["id", "python", "state"])
async def test_f37_a_row_that_is_no_text_any_more_is_quarantined_and_keeps_no_other_run_from_going_on(stage: Stage, column: str) -> None:
    engine = await stage.engine(hear)
    for name in ("damaged", "healthy"):
        await stage.until_parked(engine, await engine.start(hear, id=name))
    await stage.stop(engine)
    client = await stage.client()
    for name in ("damaged", "healthy"):
        await client.run(name).signal("number", 5)
    stage.sql(f"pragma ignore_check_constraints = on; update runs set {column} = cast(x'6fff' as text) where id = 'damaged'")

    again = await stage.engine(hear)
    assert await again.run("healthy").result(30) == 5
    if column != "state":  # that is written anew by whoever claims it
        await stage.until(lambda: stage.sql("select 1 from runs where state = 'quarantined'"))

    listed = (await again.runs()).runs
    assert {run.status for run in listed} >= {"completed"}
    assert len(listed) == 2
    assert await again.run("healthy").status()


@pytest.mark.parametrize("column", ["created_at", "ended_at"])
async def test_a_run_whose_time_is_damaged_hides_no_other(stage: Stage, column: str) -> None:
    engine = await stage.engine(hear)
    for name in ("damaged", "healthy"):
        run = await engine.start(hear, id=name)
        await run.signal("number", 5)
        await run.result(30)
    stage.sql(f"update runs set {column} = {column} + (1 << 61) where id = 'damaged'")

    assert {run.id for run in (await engine.runs()).runs} == {"damaged", "healthy"}
    assert (await engine.run("damaged").status()).state == "completed"


async def test_what_is_damaged_about_the_generations_of_a_run_in_memory_quarantines_it_and_no_other(stage: Stage) -> None:
    @workflow
    async def goes_on(number: int) -> int:
        await receive("next")
        return await continue_as_new(number + 1)

    engine = await stage.engine(goes_on, hear, settings=replace(CALM, linger_seconds=60.0))
    damaged, healthy = await engine.start(goes_on, 1, id="damaged"), await engine.start(hear, id="healthy")
    await damaged.signal("next")
    await stage.until(lambda: stage.sql("select 1 from runs where generation = 1 and id = 'damaged' and state = 'running'"))
    await stage.until(lambda: "damaged" in engine.worker.live and not engine.worker.live["damaged"].is_busy)
    stage.sql("update generations set checksum = checksum + 1")
    await damaged.signal("next")
    await stage.until_state(damaged, "quarantined")
    await healthy.signal("number", 5)

    assert await healthy.result(30) == 5
    assert not engine.failure.done()


async def test_a_file_that_is_damaged_itself_says_so(stage: Stage) -> None:
    engine = await stage.engine(hear)
    for _ in range(50):
        await engine.start(hear)
    await stage.stop(engine)
    with open(stage.path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 3)

    with pytest.raises((StoreError, apsw.Error)) as refused:
        async with Client(stage.url):
            pass
    assert isinstance(refused.value, StoreError)
