"""Sample workflows that use Python's own control flow around what they wait for."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from perdure import info, now, random, set_status, uuid4, workflow
from tests.driving import observe
from tests.versions.samples.steps import broken, echo, plain, slow

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


async def numbers(most: int) -> AsyncGenerator[int, None]:
    try:
        for number in range(most):
            yield await echo(number)
    finally:
        observe(await echo("finished"))


@workflow
async def generates() -> list[object]:
    answers: list[object] = [number async for number in numbers(3)]
    async with aclosing(numbers(9)) as some:
        async for number in some:
            if number == 1:
                break
    one = numbers(2)
    answers.append(await anext(one))
    await one.aclose()
    return answers


@workflow
async def leaves_a_generator() -> int:
    """Its clean-up waits for the end of the run, and can do nothing then."""
    async for number in numbers(9):
        if await echo(number) == 2:
            break
    return await echo(7)


@workflow
async def keeps_contexts_apart() -> list[object]:
    async def named(name: str) -> str:
        who.set(name)
        await echo(name)
        return who.get()

    before = who.get()
    answers: list[object] = [before, *await asyncio.gather(*(named(name) for name in "abc")), who.get()]
    token = who.set("main")
    answers.append(await asyncio.create_task(asyncio.sleep(0, who.get())))
    who.reset(token)
    context = contextvars.copy_context()
    context.run(who.set, "given")
    await asyncio.create_task(named("kept"), context=context)
    return [*answers, who.get(), context[who]]


@asynccontextmanager
async def booked(name: str) -> AsyncIterator[str]:
    yield await echo(f"book {name}")
    await echo(f"release {name}")


@workflow
async def enters_contexts() -> list[object]:
    async with AsyncExitStack() as stack:
        answers: list[object] = [await stack.enter_async_context(booked(name)) for name in "ab"]
        stack.push_async_callback(plain, "last")
        return answers
    return []


@workflow
async def cleans_up() -> list[object]:
    answers: list[object] = []

    async def works() -> None:
        try:
            await slow(100)
        finally:
            answers.append(await echo("cleaned"))
            await asyncio.sleep(2)

    task = asyncio.create_task(works())
    await asyncio.sleep(5)
    task.cancel()
    await asyncio.wait([task])
    return [*answers, task.cancelled(), asyncio.get_running_loop().time() >= 7]


@workflow
async def handles_failures() -> list[object]:
    answers: list[object] = []
    for attempt in range(3):
        try:
            await broken(f"attempt {attempt}")
        except LookupError as error:
            answers.append(str(error))
            await asyncio.sleep(2**attempt)
    try:
        try:
            await broken("first")
        finally:
            await broken("second")
    except LookupError as error:
        answers.append([str(error), str(error.__context__)])
    return answers


@workflow
async def raises(text: str) -> None:
    await echo(1)
    raise ValueError(text)


@workflow
async def asks_for_values() -> list[object]:
    first = [str(uuid4()), random().random(), random().choice("abcdef"), now().isoformat(), info().run_id]
    set_status({"at": "step"})
    await echo(first)
    set_status("second")
    second = [str(uuid4()), random().getrandbits(64), random().sample(range(100), 5), now().isoformat(), info().workflow]
    return [*first, *second]
