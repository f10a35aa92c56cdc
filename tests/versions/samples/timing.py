"""Sample workflows that wait for moments."""

import asyncio
from datetime import timedelta

from perdure import now, sleep_until, workflow
from tests.driving import observe
from tests.versions.samples.steps import broken, echo, slow


@workflow
async def sleeps() -> list[object]:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    answers = [await asyncio.sleep(5, "slept"), loop.time() - begin]
    await asyncio.sleep(0)
    await asyncio.sleep(-1)
    observe(loop.time())
    await asyncio.gather(*(told_after(seconds) for seconds in (3, 1, 2, 1)))
    return [*answers, loop.time() - begin]


async def told_after(seconds: float) -> None:
    await asyncio.sleep(seconds)
    observe(seconds)


@workflow
async def sleeps_until() -> list[float]:
    begin = now()
    await sleep_until(begin + timedelta(hours=2))
    first = now() - begin
    await sleep_until(begin)
    await echo(1)
    await sleep_until(begin + timedelta(days=60, microseconds=1))
    return [first.total_seconds(), (now() - begin).total_seconds()]


@workflow
async def times_out() -> list[object]:
    answers: list[object] = []
    try:
        async with asyncio.timeout(10):
            await slow(100)
    except TimeoutError:
        answers.append(asyncio.get_running_loop().time())
    async with asyncio.timeout(10) as limit:
        answers.append(await slow(9, "in time"))
    answers.append(limit.expired())
    async with asyncio.timeout(None):
        await asyncio.sleep(1000)
    try:
        async with asyncio.timeout(0):
            await echo("never")
    except TimeoutError:
        answers.append("at once")
    return answers


@workflow
async def times_out_at() -> list[object]:
    loop = asyncio.get_running_loop()
    answers: list[object] = []
    try:
        async with asyncio.timeout_at(loop.time() + 30) as limit:
            await slow(20)
            limit.reschedule(loop.time() + 5)
            await slow(20)
    except TimeoutError:
        answers += [loop.time(), limit.when(), limit.expired()]
    return answers


@workflow
async def nested_timeouts() -> list[object]:
    answers: list[object] = []
    for outer, inner in ((5, 10), (10, 5)):
        try:
            async with asyncio.timeout(outer):
                try:
                    async with asyncio.timeout(inner):
                        await slow(100)
                except TimeoutError:
                    answers.append("inner")
                await asyncio.sleep(20)
        except TimeoutError:
            answers.append("outer")
    return answers


@workflow
async def waits_for() -> list[object]:
    answers: list[object] = [await asyncio.wait_for(slow(2, "two"), 3), await asyncio.wait_for(slow(2, "none"), None)]
    try:
        await asyncio.wait_for(slow(50), 3)
    except TimeoutError:
        answers.append("late")
    try:
        await asyncio.wait_for(broken("oh", 1), 3)
    except LookupError as error:
        answers.append(repr(error))
    try:
        await asyncio.wait_for(asyncio.gather(slow(1), slow(50)), 3)
    except TimeoutError:
        answers.append("both late")
    return [*answers, asyncio.get_running_loop().time()]


@workflow
async def calls_later() -> list[object]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()
    loop.call_later(3, observe, "later")
    loop.call_at(loop.time() + 2, future.set_result, "at")
    loop.call_later(1, observe, "never").cancel()
    loop.call_soon(observe, "soon")
    answer = await future
    await asyncio.sleep(5)
    return [answer, loop.time()]


@workflow
async def cancels_timers() -> int:
    """Deadlines that are met again and again leave nothing behind."""
    for number in range(30):
        async with asyncio.timeout(1000 + number):
            await asyncio.sleep(0.001)
    return 30
