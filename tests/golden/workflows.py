"""The workflows of the golden histories. What stands here is never changed: add another workflow instead."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from perdure import Retry, info, now, patched, random, receive, saga, set_status, sleep_until, step, uuid4, workflow
from perdure.errors import StepFailed, StepOutcomeUnknown


@dataclass
class Order:
    id: int
    amount: Decimal
    placed_at: datetime
    lines: list[str]


class OutOfStock(Exception):
    def __init__(self, item: str, left: int) -> None:
        super().__init__(item, left)
        self.item = item


@step
async def echo(value: Any) -> Any:
    return value


@step
def in_a_thread(value: int, *, plus: int = 1) -> int:
    return value + plus


@step
async def price(order: Order) -> Order:
    return Order(order.id, order.amount * 2, order.placed_at, [*order.lines, "priced"])


@step(retry=Retry(attempts=3, initial=0, jitter=0))
async def fails_twice(text: str) -> str:
    attempt = info().attempt or 0
    if attempt < 3:
        raise OSError(f"{text} {attempt}")
    return f"{text} at last"


@step(retry=Retry(attempts=1))
async def breaks(kind: str) -> None:
    if kind == "own":
        raise OutOfStock("book", 2)
    if kind == "group":
        raise ExceptionGroup("both", [ValueError("one"), KeyError("two")])
    raise LookupError(kind)


@step(retry=Retry(initial=36000, jitter=0))
async def unreachable(host: str) -> None:
    raise ConnectionError(host)


@step(timeout=0.05, retry=Retry(attempts=1))
async def too_slow() -> None:
    await asyncio.sleep(60)


@step(at_most_once=True)
async def once(value: int) -> int:
    return value


@step(at_most_once=True)
async def hangs_once() -> None:
    await asyncio.sleep(3600)


@step
async def hangs() -> None:
    await asyncio.sleep(3600)


@workflow
async def plain_steps(order: Order, note: str = "none") -> dict[str, Any]:
    priced = await price(order)
    return {"order": priced.amount, "thread": await in_a_thread(4, plus=3), "note": await echo(note), "none": await echo(None)}


@workflow
async def sleeps() -> list[float]:
    loop = asyncio.get_running_loop()
    begin, times = loop.time(), []
    await asyncio.sleep(3600)
    times.append(loop.time() - begin >= 3600)
    await sleep_until(now() + timedelta(days=60))
    await asyncio.sleep(0)
    await echo("after")
    return times


@workflow
async def times_out() -> list[str]:
    seen = []
    try:
        async with asyncio.timeout(10):
            await receive("never")
    except TimeoutError:
        seen.append("timeout")
    try:
        await asyncio.wait_for(asyncio.sleep(100), 5)
    except TimeoutError:
        seen.append("wait_for")
    try:
        await receive("never", timeout=7)
    except TimeoutError:
        seen.append("receive")
    async with asyncio.timeout(1000):
        seen.append(await echo("in time"))
    return seen


@workflow
async def gathers() -> list[Any]:
    results = await asyncio.gather(*(echo(number) for number in range(20)), breaks("a"), return_exceptions=True)
    nested = await asyncio.gather(asyncio.gather(echo(1), echo(2)), in_a_thread(5))
    return [str(one) for one in results] + nested


@workflow
async def groups() -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(echo(number)) for number in range(5)]
    answers: list[Any] = [task.result() for task in tasks]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(breaks("member"))
            group.create_task(asyncio.sleep(3600))
            group.create_task(echo("beside"))
    except* LookupError as errors:
        answers.append([str(one) for one in errors.exceptions])
    return answers


@workflow
async def waits_for_the_first() -> list[Any]:
    tasks = [asyncio.create_task(one) for one in (echo("fast"), hangs(), asyncio.sleep(10**6))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    late = await asyncio.gather(*pending, return_exceptions=True)
    rest = [await one for one in asyncio.as_completed([echo(1), echo(2), echo(3)])]
    return [[task.result() for task in done], len(late), sorted(rest)]


@workflow
async def takes_signals() -> list[Any]:
    first = await receive("a", int)
    topic, value = await receive({"b": str, "c": int})
    await asyncio.sleep(60)
    return [first, topic, value, await receive("a", int, timeout=5)]


@workflow
async def races() -> str:
    """A signal against a timer, again and again: whichever was recorded first."""
    won = ""
    for number in range(4):
        try:
            await receive("go", timeout=5)
            won += "s"
        except TimeoutError:
            won += "t"
        await echo(number)
    return won


@workflow
async def tries_again() -> list[str]:
    answers = [await fails_twice("step")]
    for kind in ("plain", "own", "group"):
        try:
            await breaks(kind)
        except (LookupError, StepFailed, ExceptionGroup) as error:
            answers.append(type(error).__name__)
        except OutOfStock as error:
            answers.append(error.item)
    try:
        await too_slow()
    except TimeoutError:
        answers.append("timed out")
    return answers


@workflow
async def fails_in_the_end(text: str) -> None:
    await echo(text)
    raise OutOfStock(text, 0)


@workflow
async def fails_with_its_step() -> None:
    await echo("before")
    await breaks("for good")


@workflow
async def runs_once() -> list[Any]:
    answers: list[Any] = [await once(1)]
    try:
        await hangs_once()
    except StepOutcomeUnknown:
        answers.append("unknown")
    return [*answers, await once(2)]


@workflow
async def asks_for_values() -> list[Any]:
    generator = random()
    set_status({"at": "the beginning"})
    answers = [str(uuid4()), generator.random(), generator.choice("abc"), info().run_id, str(now())]
    recorded = await echo(answers)
    set_status("the end")
    return [recorded == answers, str(uuid4()) != answers[0]]


@workflow
async def coordinates() -> list[Any]:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
    lock, event, places = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(2)
    answers: list[Any] = []

    async def consume(name: str) -> None:
        await event.wait()
        while True:
            number = await queue.get()
            async with places, lock:
                answers.append(await echo(number))
            queue.task_done()

    consumers = [asyncio.create_task(consume(name)) for name in "abc"]
    await asyncio.sleep(1)
    event.set()
    for number in range(6):
        await queue.put(number)
    await queue.join()
    for one in consumers:
        one.cancel()
    await asyncio.wait(consumers)
    return answers


who: contextvars.ContextVar[str] = contextvars.ContextVar("golden_who", default="nobody")


async def numbers(most: int) -> AsyncGenerator[int, None]:
    try:
        for number in range(most):
            yield await echo(number)
    finally:
        await echo("finished")


@asynccontextmanager
async def booked(name: str) -> AsyncIterator[str]:
    yield await echo(f"book {name}")
    await echo(f"release {name}")


@workflow
async def flows() -> list[Any]:
    async def named(name: str) -> str:
        who.set(name)
        await echo(name)
        return who.get()

    answers: list[Any] = [number async for number in numbers(3)]
    answers += await asyncio.gather(named("x"), named("y"))
    async with AsyncExitStack() as stack:
        for name in "ab":
            answers.append(await stack.enter_async_context(booked(name)))
    return [*answers, who.get()]


@workflow
async def shields() -> list[Any]:
    inner = asyncio.create_task(echo("kept"))
    outer = asyncio.create_task(hangs())
    try:
        async with asyncio.timeout(5):
            await asyncio.shield(outer)
    except TimeoutError:
        pass
    outer.cancel()
    return [await inner, outer.cancelling()]


@workflow
async def abandons_a_step() -> str:
    """It has asked for a step that has no record, now and never."""
    asked = asyncio.create_task(hangs())
    await asyncio.sleep(0)
    asked.cancel()
    return await receive("word", str)


@workflow
async def waits_between_tries() -> None:
    await echo("first")
    await unreachable("example.com")


@workflow
async def waits_long(days: int) -> None:
    await echo("begin")
    await asyncio.sleep(days * 86400)


@workflow
async def cleans_up() -> str:
    await echo("begin")
    try:
        await receive("never")
    except asyncio.CancelledError:
        await echo("cleaned")
        raise
    return "never"


@workflow
async def recovers(text: str) -> str:
    """Its second step fails until the run is retried."""
    await echo(text)
    return await works_later()


@step(retry=Retry(attempts=1))
async def works_later() -> str:
    if not later:
        raise ConnectionError("not yet")
    return "works"


later: list[bool] = []
"""Not empty: `works_later` works."""


@step(retry=Retry(attempts=1))
async def cannot_be_undone() -> None:
    raise ConnectionError("gone")


@workflow
async def undoes() -> None:
    """Passes a mark, then undoes what it did, the last of it in vain."""
    if patched("newer"):
        await echo("newer")
    async with saga() as undo:
        await echo("one")
        undo(echo, "not one")
        await echo("two")
        undo(cannot_be_undone)
        raise OutOfStock("book", 0)
