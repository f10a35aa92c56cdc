"""The client: what it checks before it asks the store, and how often it repeats itself."""

import asyncio
from pathlib import Path

import pytest

from perdure import Client, Engine, workflow
from perdure.errors import BadInput, StoreError
from perdure.store.protocol import UnknownOutcome


@workflow
async def order(number: int) -> int:
    return number


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


async def test_a_call_whose_outcome_stays_unknown_is_repeated_a_few_times_and_then_told(url: str) -> None:
    asked = 0

    async def never_knows(_: object) -> None:
        nonlocal asked
        asked += 1
        raise UnknownOutcome("COMMIT failed; it may or may not be on disk")

    async with Engine(url, []) as engine:
        engine._store.start = never_knows
        with pytest.raises(UnknownOutcome, match="may or may not be on disk"):
            await engine.start("order", id="order-1")
    assert 2 <= asked <= 10


async def test_an_error_that_is_no_unknown_outcome_is_told_at_once(url: str) -> None:
    asked = 0

    async def refuses(*_: object) -> None:
        nonlocal asked
        asked += 1
        raise StoreError("no")

    async with Engine(url, []) as engine:
        await engine.start("order", id="order-1")
        engine._store.send = refuses
        with pytest.raises(StoreError, match="no"):
            await engine.run("order-1").signal("word")
    assert asked == 1


async def test_a_handle_on_a_run_asks_nobody(url: str) -> None:
    client = Client(url)
    assert client.run("order-1").id == "order-1"
    assert repr(client.run("order-1")) == "<run order-1>"


async def test_a_client_that_is_not_open_says_how_to_open_it(url: str) -> None:
    with pytest.raises(RuntimeError, match=r"this Client is not open: use `async with Client"):
        await Client(url).runs()


async def test_a_client_that_was_closed_is_not_open(url: str) -> None:
    async with Engine(url, []):
        pass
    async with Client(url) as client:
        await client.runs()
    with pytest.raises(RuntimeError, match="not open"):
        await client.runs()


@pytest.mark.parametrize("cursor", ["", "x", "12", "12-", "-order", "1e5-order", "²-order", "9" * 30 + "-order"])
async def test_what_is_no_cursor_of_a_page_is_refused(url: str, cursor: str) -> None:
    async with Engine(url, []) as engine:
        with pytest.raises(BadInput, match="this is no cursor of a page"):
            await engine.runs(cursor=cursor)


async def test_ids_with_the_mark_that_cursors_use_are_listed(url: str) -> None:
    async with Engine(url, []) as engine:
        for number in range(4):
            await engine.start("order", id=f"a-b-{number}")
        first = await engine.runs(limit=3)
        second = await engine.runs(limit=3, cursor=first.cursor)
    assert [run.id for run in first.runs + second.runs] == ["a-b-3", "a-b-2", "a-b-1", "a-b-0"]


async def test_a_start_with_input_by_name_is_the_same_start_as_by_function(url: str) -> None:
    async with Engine(url, [order]) as engine:
        await engine.start(order, 5, id="order-1")
        assert (await engine.start_input("order", {"number": 5}, id="order-1")).id == "order-1"
        with pytest.raises(BadInput, match="number"):
            await engine.start_input("order", {"number": "many"})
        with pytest.raises(BadInput, match="there is no parameter 'count'"):
            await engine.start_input("order", {"count": 5})


async def test_ids_that_are_made_here_sort_by_the_time_of_their_start(url: str) -> None:
    async with Engine(url, []) as engine:
        clock = [1_000_000_000_000_000]
        engine._clock = type("Moved", (), {"now": lambda self: clock[0]})()
        ids = []
        for _ in range(5):
            ids.append((await engine.start("order")).id)
            clock[0] += 1_000_000
    assert ids == sorted(ids)


@pytest.mark.parametrize("timeout", [None, 3600])
async def test_whoever_waits_for_a_result_is_told_when_the_client_is_closed(url: str, timeout: float | None) -> None:
    async with Engine(url, []):
        pass
    async with Client(url) as client:
        run = await client.start("order", number=5, id="order-1")
        waiting = asyncio.create_task(run.result(timeout))
        while not client._watched:
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="'order-1', which goes on"):
        await asyncio.wait_for(waiting, 10)
