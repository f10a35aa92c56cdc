"""G8: per run and topic, signals are received in the order sent, where the sends do not overlap."""

import asyncio

from perdure import receive, workflow
from tests.acceptance.harness import Stage


@workflow
async def collect(count: int) -> list[int]:
    return [await receive("number", int) for _ in range(count)]


async def test_signals_of_a_topic_are_received_in_the_order_sent(stage: Stage) -> None:
    engine = await stage.engine(collect)
    run = await engine.start(collect, 50)
    for number in range(50):
        await run.signal("number", number)

    assert await run.result(30) == list(range(50))


async def test_the_order_holds_for_senders_in_turn_from_two_connections(stage: Stage) -> None:
    engine = await stage.engine(collect)
    run = await engine.start(collect, 40)
    client = await stage.client()
    for number in range(40):
        await (run if number % 2 else client.run(run.id)).signal("number", number)

    assert await run.result(30) == list(range(40))


async def test_more_signals_than_one_checkpoint_reads_keep_their_order(stage: Stage) -> None:
    await stage.stop(await stage.engine())
    client = await stage.client()
    run = await client.start(collect, 1200)
    for begin in range(0, 1200, 100):
        await asyncio.gather(*(run.signal("number", number) for number in range(begin, begin + 100)))

    await stage.engine(collect)

    assert await run.result(30) == list(range(1200))


async def test_the_order_holds_although_the_clock_was_set_back_between_the_sends(stage: Stage) -> None:
    engine = await stage.engine(collect)
    run = await engine.start(collect, 3)
    await stage.stop(engine)
    client = await stage.client()
    for number in range(3):
        await client.run(run.id).signal("number", number)
        stage.clock.wall_moved -= 3600

    await stage.engine(collect)

    assert await client.run(run.id).result(30) == [0, 1, 2]


async def test_several_topics_at_once_are_received_in_order_of_arrival(stage: Stage) -> None:
    @workflow
    async def flow() -> list[tuple[str, int]]:
        return [await receive({"paid": int, "refused": int}) for _ in range(4)]

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.stop(engine)
    client = await stage.client()
    sent = [("refused", 1), ("paid", 2), ("paid", 3), ("refused", 4)]
    for topic, number in sent:
        await client.run(run.id).signal(topic, number)

    await stage.engine(flow)

    assert [tuple(one) for one in await client.run(run.id).result(30)] == sent


async def test_topics_do_not_wait_for_each_other(stage: Stage) -> None:
    @workflow
    async def flow() -> tuple[int, int]:
        second = await receive("second", int)
        return await receive("first", int), second

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("first", 1)
    await run.signal("second", 2)

    assert await run.result(30) == (1, 2)
