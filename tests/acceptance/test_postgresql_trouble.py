"""F23, F24, F41: connections to PostgreSQL break at the worst moment; nothing acknowledged is lost, nothing recorded runs again."""

import asyncio
from collections import Counter

import pytest

from perdure import Engine, Run, receive, step, workflow
from tests.proxy import Proxy
from tests.server import ask, database, new_address
from tests.waiting import wait_until

RUNS, STEPS = 12, 12
KILL = """
    select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'perdure' and datname = current_database()
"""
begun: Counter[tuple[str, int]] = Counter()


@step
async def work(run: str, number: int) -> int:
    begun[run, number] += 1
    return number


@workflow
async def sequence(run: str) -> int:
    total = 0
    for number in range(STEPS):
        total += await work(run, number)
    return total


@workflow
async def listening() -> int:
    return sum([await receive("number", int) for _ in range(5)])


@pytest.fixture(autouse=True)
def _nothing_has_begun() -> None:
    begun.clear()


def through(proxy: Proxy, address: str) -> str:
    return address.replace(f":{database().port}/", f":{proxy.port}/")


async def finish(runs: list[Run]) -> None:
    assert [await run.result(60) for run in runs] == [sum(range(STEPS))] * RUNS


def assert_each_step_ran_once() -> None:
    assert len(begun) == RUNS * STEPS
    assert set(begun.values()) == {1}


@pytest.mark.parametrize("request_bytes", [b"commit", b"B\0\0"], ids=["of a COMMIT", "of a statement that commits by itself"])
async def test_f24_a_checkpoint_whose_reply_was_swallowed_is_adopted_and_nothing_runs_again(request_bytes: bytes) -> None:
    address = new_address()
    async with Proxy("127.0.0.1", database().port) as proxy, Engine(through(proxy, address), [sequence]) as engine:
        runs = [await engine.start(sequence, f"run-{number}", id=f"run-{number}") for number in range(RUNS)]
        proxy.swallow(request_bytes, times=5)
        engine.worker._committer.want_owned()  # a checkpoint that lists what is owned is more than one statement

        assert [await run.result(60) for run in runs] == [sum(range(STEPS))] * RUNS
        await asyncio.to_thread(wait_until, lambda: proxy.swallowed, "a reply was swallowed")

    assert_each_step_ran_once()


async def test_f23_backends_that_are_killed_again_and_again_cost_time_and_nothing_else() -> None:
    address = new_address()
    async with Engine(address, [sequence]) as engine:
        runs = [await engine.start(sequence, f"run-{number}", id=f"run-{number}") for number in range(RUNS)]
        finishing = asyncio.create_task(finish(runs))
        while not finishing.done():
            ask(address, KILL)
            await asyncio.wait([finishing], timeout=0.15)
        await finishing

    assert_each_step_ran_once()


async def test_f41_a_worker_that_was_cut_off_for_less_than_its_lease_goes_on_where_it_was() -> None:
    address = new_address()
    async with Proxy("127.0.0.1", database().port) as proxy, Engine(through(proxy, address), [sequence]) as engine:
        runs = [await engine.start(sequence, f"run-{number}", id=f"run-{number}") for number in range(RUNS)]
        finishing = asyncio.create_task(finish(runs))
        proxy.cut()
        await asyncio.wait([finishing], timeout=0.5)
        proxy.mend()
        await finishing

    assert_each_step_ran_once()


async def test_a_signal_to_a_run_that_another_engine_owns_is_received_once() -> None:
    address = new_address()
    async with Engine(address, [listening]) as engine, Engine(address, [sequence]) as other:
        run = await engine.start(listening, id="here")
        for number in range(5):
            await other.run("here").signal("number", number, key=str(number))
            await other.run("here").signal("number", number, key=str(number))

        assert await run.result(30) == 10
