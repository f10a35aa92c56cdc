"""perdure.testing: recorded histories are kept in files and replayed against the code of today."""

import asyncio
from pathlib import Path

import pytest

from perdure import receive, step, testing, workflow
from perdure.errors import NotAnExport, RunNotFound, UnknownWorkflow


@step
async def price(item: str) -> int:
    return len(item)


@workflow(name="buy")
async def buy(item: str) -> int:
    cost = await price(item)
    await asyncio.sleep(60)
    await receive("go")
    return cost


@workflow(name="buy")
async def buy_at_once(item: str) -> int:
    cost = await price(item)
    await receive("go")
    return cost


@workflow(name="buy")
async def buy_dearly(item: str) -> int:
    cost = await price(item + "!")
    await asyncio.sleep(60)
    await receive("go")
    return cost


@workflow(name="buy")
async def buy_for_more(item: str) -> int:
    return 1 + await buy.function(item)


@workflow
async def sell(item: str) -> None: ...


@pytest.fixture(name="golden")
async def a_golden_history(tmp_path: Path) -> Path:
    async with testing.engine([buy]) as engine:
        run = await engine.start(buy, "tea")
        await engine.skip(minutes=1)
        await run.signal("go")
        assert await run.result() == 3
        (tmp_path / "buy.json").write_bytes(await engine.export(run))
    return tmp_path / "buy.json"


def test_a_recorded_history_replays_against_the_code_that_made_it(golden: Path) -> None:
    assert testing.replay(golden, buy).is_ok
    assert testing.replay(str(golden), buy).is_ok
    assert testing.replay(golden.read_bytes(), buy).is_ok


async def test_it_replays_inside_an_async_test_too(golden: Path) -> None:
    assert testing.replay(golden, buy).is_ok


def test_code_that_does_not_match_is_told_with_the_difference(golden: Path) -> None:
    with pytest.raises(testing.ReplayDifference, match="of workflow buy, replayed against its code: record 3: timer 0 fired"):
        testing.replay(golden, buy_at_once)


def test_another_ending_is_a_difference(golden: Path) -> None:
    with pytest.raises(testing.ReplayDifference, match="it returned 3, with this code it returned 4"):
        testing.replay(golden, buy_for_more)


def test_changed_arguments_of_a_recorded_step_are_told_but_no_difference(golden: Path) -> None:
    [changed] = testing.replay(golden, buy_dearly).changed
    assert 'item was "tea" and is now "tea!"' in str(changed)


def test_the_history_of_another_workflow_and_a_file_that_is_none_are_refused(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownWorkflow, match="'buy', not of 'sell'"):
        testing.replay(golden, sell)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(NotAnExport):
        testing.replay(tmp_path / "other.json", buy)


async def test_the_same_test_writes_the_same_bytes(golden: Path) -> None:
    async with testing.engine([buy]) as engine:
        run = await engine.start(buy, "tea")
        await engine.skip(minutes=1)
        await run.signal("go")
        assert await engine.export(run) == golden.read_bytes()
        with pytest.raises(RunNotFound):
            await engine.export(engine.run("nobody"))
