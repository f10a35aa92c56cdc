"""An engine runs what it is given; what it is given too late, twice or elsewhere is refused with what to do."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from perdure import Client, Engine, Run, workflow
from perdure.errors import NameTaken, StoreError, StoreNotFound

SHOP = """
from perdure import step, workflow

@step
async def price() -> int:
    return {price}

@workflow
async def order() -> int:
    return await price()
"""


@workflow
async def order() -> int:
    return 1


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


def run_cell(cell: dict[str, Any], price: int) -> Any:
    """As a notebook does: the same lines again, in the same module."""
    cell.setdefault("__name__", "__main__")
    exec(SHOP.format(price=price), cell)
    return cell["order"]


async def test_a_step_that_is_defined_anew_is_run_from_then_on(url: str) -> None:
    cell: dict[str, Any] = {}
    flow = run_cell(cell, 1)
    async with Engine(url, [flow]) as engine:
        assert await (await engine.start(flow)).result(30) == 1
        run_cell(cell, 2)
        assert await (await engine.start(flow)).result(30) == 2


async def test_a_workflow_that_was_defined_anew_is_not_started_as_what_it_was_before(url: str) -> None:
    cell: dict[str, Any] = {}
    engine = await Engine(url, [run_cell(cell, 1)]).open()
    anew = run_cell(cell, 2)

    with pytest.raises(NameTaken, match=r"'order' was defined anew .* `await engine\.close\(\)`, then open a new one"):
        await engine.start(anew)
    assert (await engine.runs()).runs == []

    await engine.close()
    engine = await Engine(url, [anew]).open()
    assert await (await engine.start(anew)).result(30) == 2
    await engine.close()


async def test_a_second_engine_is_refused_while_one_is_open_with_what_a_workflow_was_before(url: str) -> None:
    cell: dict[str, Any] = {}
    engine = await Engine(url, [run_cell(cell, 1)]).open()
    second = Engine(url, [run_cell(cell, 2)])

    with pytest.raises(NameTaken, match=r"still open on this store with what 'order' was before .* restart the process"):
        await second.open()
    async with Engine(url, [run_cell({}, 3)], namespace="other"), Engine(f"{url}.other", [run_cell({}, 4)]):
        pass

    await engine.close()
    async with second:
        assert await (await second.start("order")).result(30) == 2


async def test_another_workflow_of_the_same_name_is_not_started_as_the_one_that_is_known(url: str) -> None:
    @workflow(name="order")
    async def other() -> int:
        return 5

    async with Engine(url, [order]) as engine:
        with pytest.raises(NameTaken, match=r"runs another workflow named 'order' .*test_definitions\.order, not .*other\)"):
            await engine.start(other)


async def test_one_that_the_engine_does_not_run_is_started_for_others_that_do(url: str) -> None:
    async with Engine(url, []) as engine:
        assert (await (await engine.start(order)).status()).state == "pending"


@pytest.mark.parametrize("kind", ["Engine", "Client"])
async def test_what_is_open_is_not_opened_again_until_it_is_closed(url: str, kind: str) -> None:
    async with Engine(url, []) as engine:
        opened = engine if kind == "Engine" else await Client(url).open()
        with pytest.raises(RuntimeError, match=f"this {kind} is open already: close it first, or make another one"):
            await opened.open()
        assert (await opened.runs()).runs == []
        await opened.close()
        await opened.close()
    async with opened if kind == "Engine" else Engine(url, []):
        pass


async def test_what_could_not_be_opened_can_be_tried_again(url: str) -> None:
    client, engine = Client(url), Engine(url, [], migrate=False)
    for _ in range(2):
        with pytest.raises(StoreNotFound):
            await client.open()
        with pytest.raises(StoreNotFound):
            await engine.open()
    async with Engine(url, []), client, engine:
        pass


async def test_an_engine_is_used_from_a_thread_through_its_own_loop_and_no_other(url: str) -> None:
    async with Engine(url, [order]) as engine:
        home = asyncio.get_running_loop()

        def on_another_loop() -> list[str]:
            said = []
            for work in (engine.start(order), engine.run("order-1").signal("word"), engine.run("order-1").cancel(), engine.runs()):
                with pytest.raises(StoreError) as error:
                    asyncio.run(work)
                said.append(str(error.value))
            return said

        def through_its_own() -> Run:
            return asyncio.run_coroutine_threadsafe(engine.start(order, id="order-1"), home).result()

        for said in await asyncio.to_thread(on_another_loop):
            assert "opened on another event loop" in said
            assert "asyncio.run_coroutine_threadsafe(…, the_other_loop).result()" in said
        assert (await engine.runs()).runs == []
        assert await (await asyncio.to_thread(through_its_own)).result(30) == 1


def test_an_engine_whose_loop_ended_without_it_does_not_stand_in_the_way(url: str) -> None:
    cell: dict[str, Any] = {}
    left: list[Engine] = []

    async def leaves(flow: Any) -> None:
        left.append(await Engine(url, [flow]).open())

    async def goes_on(flow: Any) -> int:
        async with Engine(url, [flow]) as engine:
            return await (await engine.start(flow)).result(30)

    asyncio.run(leaves(run_cell(cell, 1)))
    assert asyncio.run(goes_on(run_cell(cell, 2))) == 2
