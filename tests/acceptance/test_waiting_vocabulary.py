"""asyncio's whole waiting vocabulary is durable: a run that dies after every record ends as one that nobody disturbs."""

import asyncio
import contextvars
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from perdure import now, random, receive, step, uuid4, workflow
from tests.acceptance.harness import Stage

HOUR = 3600.0
colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


@step
async def work(name: str) -> str:
    return name.upper()


@step
async def refuse(name: str) -> str:
    raise ValueError(name)


@workflow
async def gathers() -> Any:
    return await asyncio.gather(work("a"), work("b"), work("c"))


@workflow
async def gathers_with_failures() -> Any:
    results = await asyncio.gather(work("a"), refuse("b"), work("c"), return_exceptions=True)
    return [str(result) for result in results]


@workflow
async def gathers_and_fails() -> Any:
    try:
        await asyncio.gather(asyncio.sleep(HOUR), refuse("b"))
    except ValueError as error:
        return [str(error), await work("after")]


@workflow
async def groups_tasks() -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(name)) for name in "abc"]
    return [task.result() for task in tasks]


@workflow
async def groups_tasks_and_one_fails() -> Any:
    cancelled: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(HOUR)
        except asyncio.CancelledError:
            cancelled.append(await work("clean-up"))
            raise

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(waits())
            group.create_task(refuse("b"))
    except* ValueError as errors:
        cancelled.append(str(errors.exceptions[0]))
    return cancelled


@workflow
async def waits_for_the_first() -> Any:
    tasks = [asyncio.create_task(asyncio.sleep(HOUR, "slept")), asyncio.create_task(work("a"))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return [task.result() for task in done]


@workflow
async def waits_for_the_first_exception() -> Any:
    tasks = [asyncio.create_task(one) for one in (work("a"), refuse("b"), asyncio.sleep(HOUR))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    return [len(done), len(pending), *sorted(str(task.exception()) for task in done)]


@workflow
async def waits_for_all() -> Any:
    done, _ = await asyncio.wait([asyncio.create_task(work(name)) for name in "abc"])
    return [task.result() for task in done]


@workflow
async def takes_as_completed() -> Any:
    return [await one for one in asyncio.as_completed([work("a"), asyncio.sleep(HOUR, "slept"), work("c")])]


@workflow
async def shields() -> Any:
    inner = asyncio.create_task(asyncio.sleep(HOUR, "shielded"))
    try:
        async with asyncio.timeout(HOUR / 2):
            await asyncio.shield(inner)
    except TimeoutError:
        return [await work("timed out"), await inner]


@workflow
async def times_out() -> Any:
    said = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(loop.time() + HOUR):
            await receive("never")
    except TimeoutError:
        said.append(await work("timeout_at"))
    try:
        await asyncio.wait_for(asyncio.sleep(2 * HOUR), HOUR)
    except TimeoutError:
        said.append(await work("wait_for"))
    try:
        await receive("never", timeout=HOUR)
    except TimeoutError:
        said.append(await work("receive"))
    async with asyncio.timeout(HOUR):
        said.append(await work("in time"))
    return said


@workflow
async def hands_through_a_queue() -> Any:
    queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1)

    async def produce() -> None:
        for name in "abc":
            await queue.put(await work(name))
        await queue.put(None)

    producer = asyncio.create_task(produce())
    taken = []
    while (item := await queue.get()) is not None:
        await asyncio.sleep(HOUR)
        taken.append(item)
    await producer
    return taken


@workflow
async def meets_at_an_event() -> Any:
    event, said = asyncio.Event(), []

    async def waits(name: str) -> None:
        await event.wait()
        said.append(await work(name))

    tasks = [asyncio.create_task(waits(name)) for name in "ab"]
    await asyncio.sleep(HOUR)
    event.set()
    await asyncio.gather(*tasks)
    return said


@workflow
async def takes_turns() -> Any:
    lock, semaphore, said = asyncio.Lock(), asyncio.Semaphore(2), []

    async def one(name: str) -> None:
        async with semaphore, lock:
            said.append(await work(name))
            await asyncio.sleep(HOUR)

    await asyncio.gather(*(one(name) for name in "abcd"))
    return said


@workflow
async def is_notified() -> Any:
    condition, stock, said = asyncio.Condition(), [0], []

    async def buy(name: str) -> None:
        async with condition:
            await condition.wait_for(lambda: stock[0] > 0)
            stock[0] -= 1
        said.append(await work(name))

    buyers = [asyncio.create_task(buy(name)) for name in "ab"]
    for _ in range(2):
        await asyncio.sleep(HOUR)
        async with condition:
            stock[0] += 1
            condition.notify()
    await asyncio.gather(*buyers)
    return said


@workflow
async def meets_at_a_barrier() -> Any:
    barrier, said = asyncio.Barrier(3), []

    async def arrive(after: float, name: str) -> None:
        await asyncio.sleep(after)
        await barrier.wait()
        said.append(await work(name))

    await asyncio.gather(arrive(0, "a"), arrive(HOUR, "b"), arrive(2 * HOUR, "c"))
    return sorted(said)


@workflow
async def generates() -> Any:
    async def numbers() -> AsyncIterator[str]:
        try:
            for name in "abc":
                yield await work(name)
                await asyncio.sleep(HOUR)
        finally:
            await work("closed")

    said = []
    async with aclosing(numbers()) as generator:
        async for one in generator:
            said.append(one)
            if one == "B":
                break
    return said


@workflow
async def keeps_context() -> Any:
    async def paint(name: str) -> str:
        colour.set(name)
        await asyncio.sleep(HOUR)
        await work(name)
        return colour.get()

    colour.set("white")
    return [*await asyncio.gather(paint("red"), paint("blue")), colour.get()]


SHAPES = [
    gathers,
    gathers_with_failures,
    gathers_and_fails,
    groups_tasks,
    groups_tasks_and_one_fails,
    waits_for_the_first,
    waits_for_the_first_exception,
    waits_for_all,
    takes_as_completed,
    shields,
    times_out,
    hands_through_a_queue,
    meets_at_an_event,
    takes_turns,
    is_notified,
    meets_at_a_barrier,
    generates,
    keeps_context,
]

EXPECTED: dict[str, Any] = {
    "gathers": ["A", "B", "C"],
    "gathers_with_failures": ["A", "b", "C"],
    "gathers_and_fails": ["b", "AFTER"],
    "groups_tasks": ["A", "B", "C"],
    "groups_tasks_and_one_fails": ["CLEAN-UP", "b"],
    "waits_for_the_first": ["A"],
    "waits_for_all": None,  # a set: in the order of the tasks or another, but always the same
    "takes_as_completed": ["A", "C", "slept"],
    "shields": ["TIMED OUT", "shielded"],
    "times_out": ["TIMEOUT_AT", "WAIT_FOR", "RECEIVE", "IN TIME"],
    "hands_through_a_queue": ["A", "B", "C"],
    "meets_at_an_event": ["A", "B"],
    "takes_turns": ["A", "B", "C", "D"],
    "is_notified": ["A", "B"],
    "meets_at_a_barrier": ["A", "B", "C"],
    "generates": ["A", "B"],
    "keeps_context": ["red", "blue", "white"],
}


async def result_undisturbed(stage: Stage, shape: Any) -> Any:
    engine = await stage.engine(shape)
    run = await engine.start(shape, id="undisturbed")
    await until_ended(stage, run)
    result = await run.result(30)
    await stage.stop(engine)
    return result


async def until_ended(stage: Stage, run: Any) -> None:
    async def has_ended() -> bool:
        return (await run.status()).state in ("completed", "failed", "quarantined")

    await stage.until(has_ended, skipping=HOUR / 8)


async def result_with_a_death_after_every_record(stage: Stage, shape: Any) -> tuple[Any, int]:
    """The same run, whose worker dies whenever its history has grown."""
    engine = await stage.engine(shape)
    run, known, deaths = await engine.start(shape, id="disturbed"), 1, 0

    def length() -> int:
        return int(stage.sql("select count(*) from history where run_id = 'disturbed'")[0][0])

    while stage.sql("select 1 from runs where id = 'disturbed' and ended_at is null"):
        await stage.until(lambda known=known: length() > known, skipping=HOUR / 8)
        known, deaths = length(), deaths + 1
        await stage.kill(engine)
        engine = await stage.engine(shape)
    return await engine.run(run.id).result(30), deaths


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_a_run_that_dies_after_every_record_ends_as_one_that_nobody_disturbs(stage: Stage, shape: Any) -> None:
    undisturbed = await result_undisturbed(stage, shape)
    disturbed, deaths = await result_with_a_death_after_every_record(stage, shape)

    assert disturbed == undisturbed
    assert deaths
    if (expected := EXPECTED.get(shape.name)) is not None:
        assert undisturbed == expected


async def test_values_are_the_same_before_and_after_a_death(stage: Stage) -> None:
    seen: list[list[object]] = []

    @workflow
    async def flow() -> None:
        seen.append([str(uuid4()), random().random(), now().isoformat()])
        await work("between")
        seen[-1] += [str(uuid4()), random().choice(range(1000)), now().isoformat()]
        await receive("next")

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    await stage.kill(engine)
    again = await stage.engine(flow)
    await again.run(run.id).signal("next")
    await again.run(run.id).result(30)

    first, second = seen
    assert first == second
    assert len(set(first)) >= 5  # all but perhaps the two moments differ


async def test_two_runs_do_not_share_their_random_values(stage: Stage) -> None:
    @workflow
    async def flow() -> list[object]:
        return [str(uuid4()), random().random()]

    engine = await stage.engine(flow)
    first, second = [await (await engine.start(flow)).result(30) for _ in range(2)]

    assert first[0] != second[0]
    assert first[1] != second[1]


async def test_code_that_catches_every_exception_does_not_stop_the_engine_from_letting_go_of_the_run(stage: Stage) -> None:
    caught: list[str] = []

    @workflow
    async def flow() -> str:
        while True:
            try:
                return await receive("word", str)
            except Exception as error:
                caught.append(repr(error))
            finally:
                try:
                    await work("clean-up")
                except Exception as error:
                    caught.append(repr(error))

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    await stage.kill(engine)
    again = await stage.engine(flow)
    await again.run(run.id).signal("word", "hello")

    assert await again.run(run.id).result(30) == "hello"
    assert caught == []
