"""Sample workflows that receive signals."""

import asyncio

from perdure import receive, workflow
from perdure.errors import DecodeError
from tests.driving import observe
from tests.versions.samples.steps import echo, slow


@workflow
async def receives() -> list[object]:
    answers: list[object] = [await receive("a", int), await receive({"a": int, "b": str}), await receive({"b": str, "a": int})]
    await asyncio.sleep(10)
    answers.append(await receive("a", int, timeout=0))
    try:
        await receive("a", int, timeout=0)
    except TimeoutError:
        answers.append("none")
    return answers


@workflow
async def receives_in_time() -> list[object]:
    answers: list[object] = []
    for _ in range(3):
        try:
            answers.append(await receive("paid", int, timeout=10))
        except TimeoutError:
            answers.append("late")
    try:
        async with asyncio.timeout(20):
            answers.append(await receive({"paid": int, "refused": str}))
            answers.append(await receive({"paid": int, "refused": str}))
    except TimeoutError:
        answers.append("late")
    return answers


@workflow
async def shares_signals() -> list[object]:
    """Receivers are served in the order in which they began to wait; a cancelled one passes its signal on."""

    async def take(name: str, *topics: str) -> list[object]:
        topic, value = await receive(dict.fromkeys(topics, int))
        observe([name, topic, value])
        return [name, topic, value]

    tasks = [asyncio.create_task(take(name, *topics)) for name, topics in (("x", "a"), ("y", "ab"), ("z", "b"), ("w", "a"))]
    await asyncio.sleep(1)
    tasks[0].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    return [one if isinstance(one, list) else type(one).__name__ for one in done]


@workflow
async def decodes_signals() -> list[object]:
    answers: list[object] = []
    for _ in range(3):
        try:
            answers.append(await receive("count", int))
        except DecodeError:
            answers.append(await echo("no number"))
    return answers


@workflow
async def races() -> list[object]:
    """A step, a signal and a timer: whichever is recorded first wins, on every replay."""
    tasks = {
        "step": asyncio.create_task(slow(5, "step")),
        "signal": asyncio.create_task(receive("go")),
        "timer": asyncio.create_task(asyncio.sleep(5, "timer")),
    }
    done, pending = await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    late = await asyncio.gather(*tasks.values(), return_exceptions=True)
    observe([type(one).__name__ for one in late])
    return [len(done), sum(not isinstance(one, BaseException) for one in late)]
