"""G6: one run per id: a repeated start with the same input is the same run, with other input it is refused."""

import asyncio

import apsw
import pytest

from perdure import step, workflow
from perdure.errors import RunConflict
from tests.acceptance.harness import Stage

BEGAN: list[str] = []


@step
async def begin(name: str) -> None:
    BEGAN.append(name)


@workflow
async def order(items: dict[str, int], express: bool = False) -> int:
    await begin("order")
    return sum(items.values())


@workflow
async def other(items: dict[str, int], express: bool = False) -> int:
    return 0


@pytest.fixture(autouse=True)
def _nothing_has_begun() -> None:
    BEGAN.clear()


async def test_the_same_id_with_the_same_input_is_the_same_run(stage: Stage) -> None:
    engine = await stage.engine(order)

    first = await engine.start(order, {"apples": 2, "pears": 3}, id="order-1")
    second = await engine.start(order, {"apples": 2, "pears": 3}, id="order-1")

    assert first.id == second.id == "order-1"
    assert await second.result(30) == 5
    assert BEGAN == ["order"]


async def test_a_start_repeated_after_the_end_gives_the_result_and_runs_nothing(stage: Stage) -> None:
    engine = await stage.engine(order)
    await (await engine.start(order, {"apples": 2}, id="order-1")).result(30)

    assert await (await engine.start(order, {"apples": 2}, id="order-1")).result(30) == 2
    assert BEGAN == ["order"]


async def test_the_order_of_keys_and_the_way_arguments_are_passed_make_no_other_input(stage: Stage) -> None:
    client = await _client(stage)

    await client.start(order, {"apples": 2, "pears": 3}, True, id="order-1")
    await client.start(order, express=True, items={"pears": 3, "apples": 2}, id="order-1")

    assert stage.sql("select count(*) from runs") == [(1,)]


async def test_input_is_what_the_caller_supplied_before_defaults(stage: Stage) -> None:
    client = await _client(stage)
    await client.start(order, {"apples": 2}, id="order-1")

    with pytest.raises(RunConflict):
        await client.start(order, {"apples": 2}, False, id="order-1")


async def test_the_same_id_with_other_input_is_refused_with_both_hashes_and_nothing_changes(stage: Stage) -> None:
    client = await _client(stage)
    await client.start(order, {"apples": 2}, id="order-1")
    before = stage.content()

    with pytest.raises(RunConflict, match=r"run 'order-1' exists with other input.*[0-9a-f]{24}.*[0-9a-f]{24}.*choose another id"):
        await client.start(order, {"apples": 3}, id="order-1")

    assert stage.content() == before


async def test_the_same_id_and_input_of_another_workflow_is_refused(stage: Stage) -> None:
    client = await _client(stage)
    await client.start(order, {"apples": 2}, id="order-1")

    with pytest.raises(RunConflict, match="it is a 'order'.*this is a 'other'"):
        await client.start(other, {"apples": 2}, id="order-1")


async def test_twenty_starts_at_once_from_two_clients_are_one_run(stage: Stage) -> None:
    engine = await stage.engine(order)
    clients = [await stage.client(), engine]

    runs = await asyncio.gather(*(clients[i % 2].start(order, {"apples": 2}, id="order-1") for i in range(20)))

    assert {run.id for run in runs} == {"order-1"}
    assert await runs[0].result(30) == 2
    assert BEGAN == ["order"]


async def test_runs_without_an_id_are_different_runs(stage: Stage) -> None:
    client = await _client(stage)

    ids = {(await client.start(order, {"apples": 2})).id for _ in range(20)}

    assert len(ids) == 20


async def test_one_id_in_two_namespaces_is_two_runs(stage: Stage) -> None:
    engine = await stage.engine(order, namespace="north")
    south = await stage.engine(order, namespace="south")

    first = await engine.start(order, {"apples": 2}, id="order-1")
    second = await south.start(order, {"apples": 3}, id="order-1")

    assert (await first.result(30), await second.result(30)) == (2, 3)


async def test_a_start_whose_commit_was_not_answered_is_asked_again_and_is_one_run(stage: Stage) -> None:
    engine = await stage.engine(order)

    def lose_the_answer() -> None:
        if stage.sql("select 1 from runs"):
            stage.commits.after = lambda: None
            raise apsw.IOError("the answer is lost")

    stage.commits.after = lose_the_answer
    run = await engine.start(order, {"apples": 2}, id="order-1")

    assert await run.result(30) == 2
    assert stage.sql("select count(*) from runs") == [(1,)]
    assert BEGAN == ["order"]


async def _client(stage: Stage):
    """A client of a store at which nobody works."""
    await stage.stop(await stage.engine())
    return await stage.client()
