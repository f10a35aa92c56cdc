"""Sample workflows that do several things at once."""

import asyncio

from perdure import workflow
from tests.driving import observe
from tests.versions.samples.steps import broken, echo, other, plain, slow


async def two(value: int) -> int:
    return await other(await echo(value)) + 1


@workflow
async def gathers() -> list[object]:
    first = await asyncio.gather(*(two(number) for number in range(4)), plain(9), asyncio.sleep(2, "slept"))
    nested = await asyncio.gather(asyncio.gather(two(1), two(2)), asyncio.gather(two(3)))
    return [first, nested, await asyncio.gather()]


@workflow
async def gathers_errors() -> list[object]:
    answers = await asyncio.gather(echo(1), broken("a"), two(2), broken("b", 5), return_exceptions=True)
    return [repr(answer) for answer in answers]


@workflow
async def gather_fails() -> list[object]:
    """The first failure comes out; the others go on."""

    async def goes_on() -> None:
        await slow(20)
        observe("went on")

    try:
        await asyncio.gather(goes_on(), broken("first", 3), broken("second", 6))
    except LookupError as error:
        observe(repr(error))
    await asyncio.sleep(30)
    return [asyncio.get_running_loop().time()]


@workflow
async def groups() -> list[object]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(two(number), name=f"two-{number}") for number in range(3)]
        async with asyncio.TaskGroup() as inner:
            inner.create_task(asyncio.sleep(3))
        tasks.append(group.create_task(slow(4, "late")))
    return [[task.get_name() for task in tasks[:3]], [task.result() for task in tasks]]


@workflow
async def group_fails() -> list[object]:
    """A failing child cancels its siblings and the body; their errors come out together."""
    answers: list[object] = []

    async def cleans_up(value: int) -> None:
        try:
            await slow(100)
        except asyncio.CancelledError:
            answers.append(await echo(value))
            raise

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(cleans_up(1))
            group.create_task(cleans_up(2))
            group.create_task(broken("child", 2))
            await asyncio.sleep(1000)
    except* LookupError as errors:
        answers.append([repr(error) for error in errors.exceptions])
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(slow(1000))
            raise ValueError("body")
    except* ValueError as errors:
        answers.append([repr(error) for error in errors.exceptions])
    return [sorted(answers[:2]), *answers[2:], asyncio.get_running_loop().time()]


@workflow
async def waits_in_all_modes() -> list[object]:
    answers: list[object] = []
    tasks = [asyncio.create_task(slow(lasts, lasts), name=str(lasts)) for lasts in (30, 10, 20)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    answers.append([sorted(task.get_name() for task in group) for group in (done, pending)])
    done, pending = await asyncio.wait(pending, timeout=1)
    answers.append([len(done), len(pending)])
    tasks.append(asyncio.create_task(broken("oh", 1), name="broken"))
    done, pending = await asyncio.wait({*pending, tasks[-1]}, return_when=asyncio.FIRST_EXCEPTION)
    answers.append([sorted(task.get_name() for task in group) for group in (done, pending)])
    done, pending = await asyncio.wait(tasks)
    answers.append([[task.get_name() for task in done], len(pending)])
    return [*answers, asyncio.get_running_loop().time()]


@workflow
async def iterates_sets() -> list[str]:
    """Sets of tasks and of futures iterate alike wherever they lie in memory."""
    tasks = {asyncio.create_task(echo(number), name=str(number)) for number in range(9)}
    futures = {asyncio.get_running_loop().create_future() for _ in range(9)}
    for number, future in enumerate(futures):
        future.set_result(await echo(number))
    done, _ = await asyncio.wait([*tasks, *futures])
    return [str(task.result()) for task in done]


@workflow
async def as_they_complete() -> list[object]:
    answers: list[object] = [await one for one in asyncio.as_completed([slow(3, "c"), slow(1, "a"), slow(2, "b")])]
    answers.extend([await one for one in asyncio.as_completed([told(number) for number in range(8)])])
    tasks = [asyncio.create_task(asyncio.sleep(delay, delay)) for delay in (3, 1, 2)]
    answers.extend([await one for one in asyncio.as_completed(tasks)])
    try:
        for one in asyncio.as_completed((slow(1, "in time"), slow(50, "late")), timeout=10):
            answers += [await one]
    except TimeoutError:
        answers.append(asyncio.get_running_loop().time())
    return answers


async def told(number: int) -> int:
    observe(number)
    await asyncio.sleep(0)
    return number


@workflow
async def as_they_complete_with_async_for() -> list[object]:
    """Since Python 3.13."""
    answers: list[object] = []
    tasks = [asyncio.create_task(slow(lasts, lasts)) for lasts in (3, 1, 2)]
    async for task in asyncio.as_completed(tasks):
        answers += [[tasks.index(task), await task]]
    async for task in asyncio.as_completed([slow(3, "c"), slow(1, "a"), slow(2, "b")]):
        answers += [await task]
    return answers


@workflow
async def shields() -> list[object]:
    async def precious() -> str:
        answer: str = await slow(20, "kept")
        observe(answer)
        return answer

    inner = asyncio.create_task(precious())
    answers: list[object] = []
    try:
        async with asyncio.timeout(5):
            await asyncio.shield(inner)
    except TimeoutError:
        answers.append(inner.done())
    return [*answers, await inner, await asyncio.shield(echo("quick")), asyncio.get_running_loop().time()]


@workflow
async def cancels_tasks() -> list[object]:
    answers: list[object] = []
    waiting = asyncio.create_task(slow(100))
    not_begun = asyncio.create_task(slow(1))
    not_begun.cancel()
    await asyncio.sleep(3)
    waiting.cancel("enough")
    for task in (waiting, not_begun):
        try:
            await task
        except asyncio.CancelledError as error:
            answers.append([task.cancelled(), *error.args])

    async def refuses() -> str:
        try:
            await slow(100)
        except asyncio.CancelledError:
            return str(await echo("after all"))
        return "not cancelled"

    stubborn = asyncio.create_task(refuses())
    await asyncio.sleep(0)
    stubborn.cancel()
    answers.append(await stubborn)
    current = asyncio.current_task()
    assert current is not None
    answers.append([current.get_name(), current.cancelling(), len(asyncio.all_tasks())])
    return answers


@workflow
async def cancelled_between() -> list[object]:
    """A task that is cancelled in the very pass in which its step's outcome comes."""

    async def works() -> object:
        answer = await slow(5, "lost")
        observe(answer)
        return answer

    first = asyncio.create_task(slow(5, "first"))
    second = asyncio.create_task(works())
    await first
    second.cancel()
    answers = await asyncio.gather(second, return_exceptions=True)
    return [type(answer).__name__ for answer in answers]


@workflow
async def leaves_tasks_running() -> str:
    async def for_ever() -> None:
        try:
            while True:
                observe(await echo("tick"))
                await asyncio.sleep(1)
        finally:
            observe("closed")

    tasks = [asyncio.create_task(for_ever()) for _ in range(2)]
    await asyncio.sleep(4)
    return f"done with {sum(not task.done() for task in tasks)} left"


# ── these issue in another order on 3.11, where wait_for makes a task of its coroutine ───────────────────────────────


@workflow
async def waits_for_beside() -> list[object]:
    return list(await asyncio.gather(asyncio.wait_for(echo("first"), 10), other("second")))


@workflow
async def waits_for_beside_the_same() -> list[object]:
    return list(await asyncio.gather(asyncio.wait_for(echo("first"), 10), echo("second")))
