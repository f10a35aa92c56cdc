"""A damaged row quarantines its run and no other; a damaged file says so."""

from typing import Any

import apsw
import pytest

from perdure import Client, receive, step, workflow
from perdure.errors import StoreError
from tests.acceptance.harness import Stage


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
    assert await again.run("healthy").result(10) == 5
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

    assert await run.result(10) == 5


@pytest.mark.parametrize("column", ["note", "waiting_for", "input"])
async def test_f37_a_damaged_word_about_one_run_is_shown_as_such_and_hides_no_other(stage: Stage, column: str) -> None:
    engine = await stage.engine(hear)
    for name in ("damaged", "healthy"):
        await stage.until_parked(engine, await engine.start(hear, id=name))
    stage.sql(f"update runs set {column} = x'7b226174223a22776f726b22' where id = 'damaged'")

    assert {run.id for run in (await engine.runs()).runs} == {"damaged", "healthy"}
    status = await engine.run("damaged").status()
    assert column == "waiting_for" or "damaged" in getattr(status, column)


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
