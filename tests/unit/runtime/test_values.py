"""Time, identifiers, random numbers and the order of sets are the run's own: the same on every replay, other ones in another run."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from perdure import info, now, random, set_status, sleep_until, step, workflow
from perdure import uuid4 as durable_uuid4
from perdure.clock import SECOND
from perdure.errors import EncodeError
from perdure.model.records import Record, RecordKind
from tests.driving import BEGAN, VirtualEngine, new_execution, observe, replay, replays_alike


@step
async def act(value: object = None) -> object:
    return value


@workflow
async def draws() -> list[str]:
    values = [str(durable_uuid4()), str(random().getrandbits(128)), str(durable_uuid4())]
    await act()
    return [*values, str(durable_uuid4()), str(random().getrandbits(128))]


def drawn(run_id: str, seed: bytes) -> list[str]:
    with VirtualEngine(draws, run_id=run_id, seed=seed).run() as engine:
        replays_alike(engine)
        values: list[str] = engine.result
        return values


def test_identifiers_and_random_numbers_come_from_the_seed_alone() -> None:
    first = drawn("run-1", b"one seed")
    assert len(set(first)) == 5
    assert drawn("run-2", b"one seed") == first
    assert not set(drawn("run-1", b"another seed")) & set(first)
    assert UUID(first[0]).version == 4
    assert first[0] != str(UUID(int=int(first[1]), version=4))


def test_what_one_draws_from_the_generator_does_not_change_the_identifiers() -> None:
    @workflow
    async def draws_more() -> list[str]:
        random().random()
        return [str(durable_uuid4())]

    with VirtualEngine(draws_more, seed=b"one seed").run() as engine:
        assert engine.result == drawn("run-1", b"one seed")[:1]


@workflow
async def tells_time() -> list[str]:
    loop = asyncio.get_running_loop()
    moments = [now().isoformat(), now().isoformat(), str(loop.time())]
    await act()
    moments += [now().isoformat(), str(loop.time())]
    await asyncio.sleep(60)
    return [*moments, now().isoformat(), str(loop.time())]


def test_m2_the_time_in_a_run_is_that_of_the_last_record_and_stands_still_meanwhile() -> None:
    with VirtualEngine(tells_time).run() as engine:
        start = datetime.fromtimestamp(BEGAN / SECOND, UTC)
        first, again, zero, second, one, third, end = engine.result
        assert first == again == start.isoformat()
        assert second == (start + timedelta(seconds=1)).isoformat()
        assert third == (start + timedelta(seconds=61)).isoformat()
        assert (float(zero), float(one), float(end)) == (0, 1, 61)


def test_m2_a_run_that_queued_for_an_hour_does_not_time_out_on_its_first_line() -> None:
    @workflow
    async def hurries() -> str:
        async with asyncio.timeout(60):
            return str(await act("in time"))

    execution = new_execution(hurries, b"{}")
    execution.apply(Record(1, BEGAN + 3600 * SECOND, RecordKind.STARTED))
    assert execution.next_deadline() == BEGAN + 3660 * SECOND


def test_m2_a_clock_that_goes_back_does_not_take_the_run_back() -> None:
    @workflow
    async def looks() -> list[str]:
        await act()
        return [now().isoformat()]

    with VirtualEngine(looks).start() as engine:
        command = engine.under_way[0]
        engine.execution.apply(Record(2, BEGAN - 3600 * SECOND, RecordKind.STEP, "act", 0, command.digest, output=b"null"))
        assert engine.result == [datetime.fromtimestamp(BEGAN / SECOND, UTC).isoformat()]


@pytest.mark.parametrize("days", [0.001, 1, 60, 3653, 36525])
@pytest.mark.parametrize("microseconds", [1, 333_333, 999_999])
def test_g9_a_wait_until_a_moment_ends_at_that_microsecond_and_never_before(days: float, microseconds: int) -> None:
    when = datetime.fromtimestamp(BEGAN / SECOND, UTC) + timedelta(days=days, microseconds=microseconds)

    @workflow
    async def waits() -> list[float]:
        await asyncio.sleep(0.1)
        await sleep_until(when)
        return [(now() - when) / timedelta(microseconds=1)]

    with VirtualEngine(waits).run() as engine:
        assert 0 <= engine.result[0] <= 1


def test_a_deadline_between_two_microseconds_is_rounded_up() -> None:
    @workflow
    async def waits() -> None:
        await asyncio.sleep(0.000_000_4)

    with VirtualEngine(waits).start() as engine:
        assert engine.execution.next_deadline() == BEGAN + 1


@pytest.mark.parametrize("when", [datetime(2030, 1, 1), "2030-01-01"])
def test_a_moment_that_nobody_knows_is_refused(when: object) -> None:
    @workflow
    async def waits() -> str:
        try:
            await sleep_until(when)  # type: ignore[arg-type]
        except (ValueError, AttributeError, TypeError) as error:
            return type(error).__name__
        return "waited"

    with VirtualEngine(waits).run() as engine:
        assert engine.result != "waited"


def test_who_asks_is_told() -> None:
    @workflow
    async def asks() -> list[object]:
        one = info()
        return [one.run_id, one.workflow, one.step, one.attempt, one.idempotency_key]

    with VirtualEngine(asks, run_id="order-7").run() as engine:
        assert engine.result == ["order-7", "asks", None, None, None]


def test_the_last_note_stands_and_one_that_cannot_be_stored_changes_nothing() -> None:
    @workflow
    async def notes() -> str:
        set_status({"step": 1})
        set_status("second")
        await act()
        try:
            set_status(object())
        except EncodeError:
            return "refused"
        return "taken"

    with VirtualEngine(notes).run() as engine:
        assert engine.stands[0].note == '"second"'
        assert (engine.result, engine.execution.note) == ("refused", b'"second"')


def test_m7_nobody_changes_an_object_behind_the_history() -> None:
    @step
    async def changes(items: list[int]) -> list[int]:
        items.append(9)
        return items

    @workflow
    async def keeps() -> list[object]:
        mine = [1]
        answer = await changes(mine)
        again = await act(answer)
        answer.append(10)
        return [mine, answer, again]

    with VirtualEngine(keeps).run() as engine:
        assert engine.result == [[1], [1, 9, 10], [1, 9]]
        replays_alike(engine)


ORDERS = """
import asyncio, json
from perdure import step, workflow
from tests.driving import VirtualEngine

@step
async def act(value: set[str]) -> str:
    return ",".join(value)

@workflow
async def orders() -> list[object]:
    tasks = {asyncio.create_task(asyncio.sleep(number % 3, str(number)), name=f"task {number}") for number in range(20)}
    names = [task.get_name() for task in tasks]
    done, _ = await asyncio.wait(tasks)
    raced = [await one for one in asyncio.as_completed([asyncio.sleep(0, str(number)) for number in range(20)])]
    await act({"a", "b", "c", "d"})
    return [names, [task.result() for task in done], raced]

with VirtualEngine(orders).run() as engine:
    print(json.dumps([engine.result, [record.digest.hex() for record in engine.history if record.digest]]))
"""


def test_m8_b48_sets_of_tasks_and_digests_are_the_same_in_processes_of_other_hash_seeds() -> None:
    def told(seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": seed}
        child = subprocess.run([sys.executable, "-c", ORDERS], env=environment, capture_output=True, text=True, timeout=60, check=True)
        return child.stdout

    first = told("1")
    assert len(json.loads(first)[0][0]) == 20
    assert told("2") == first == told("77")


def test_b49_outcomes_are_replayed_in_the_order_recorded_not_in_the_order_asked_for() -> None:
    @workflow
    async def races() -> list[str]:
        order: list[str] = []

        async def one(name: str) -> None:
            await act(name)
            order.append(name)
            observe(name)

        await asyncio.gather(*(one(name) for name in "abcdef"))
        return order

    seen = set()
    for schedule in range(8):
        with VirtualEngine(races, schedule=schedule).run() as engine:
            replays_alike(engine)
            seen.add(tuple(engine.result))
    assert len(seen) > 3


def test_a_seed_that_nobody_knows_gives_identifiers_that_the_runs_name_does_not() -> None:
    run_id = str(uuid4())
    assert not set(drawn(run_id, b"\x01" * 16)) & set(drawn(run_id, run_id.encode()))


def test_m3_timers_need_no_record_of_their_creation() -> None:
    @workflow
    async def waits() -> None:
        await act()
        async with asyncio.timeout(500):
            await asyncio.sleep(100)

    with VirtualEngine(waits).start() as engine:
        engine.go_on()
        again = new_execution(waits, engine.payload)
        list(replay(again, engine.history))
        assert again.due(1 << 62) == engine.execution.due(1 << 62) == [(BEGAN + 101 * SECOND, 1), (BEGAN + 501 * SECOND, 0)]
        assert again.next_deadline() == BEGAN + 101 * SECOND
        assert again.due(BEGAN + 101 * SECOND - 1) == []
        assert again.due(BEGAN + 101 * SECOND) == [(BEGAN + 101 * SECOND, 1)]
        again.close()


def test_cancelled_timers_are_pruned() -> None:
    @workflow
    async def hurries() -> None:
        for _ in range(2000):
            async with asyncio.timeout(1000):
                await asyncio.sleep(0)
        await act()

    with VirtualEngine(hurries).start() as engine:
        loop = engine.execution._loop
        assert loop.timers == {}
        assert len(loop._deadlines) < 200
        assert len(loop._numbers) == 0
