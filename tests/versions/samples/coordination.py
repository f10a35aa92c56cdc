"""Sample workflows whose tasks wait for each other."""

import asyncio

from perdure import workflow
from tests.driving import observe
from tests.versions.samples.steps import echo, slow


@workflow
async def queues() -> list[object]:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
    answers: list[object] = []

    async def consume(name: str) -> None:
        while True:
            number = await queue.get()
            answers.append(await echo(number))
            observe([name, number])
            queue.task_done()

    consumers = [asyncio.create_task(consume(name)) for name in "ab"]
    for number in range(6):
        await queue.put(number)
    await queue.join()
    for consumer in consumers:
        consumer.cancel()
    await asyncio.wait(consumers)
    ordered: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
    for number in (3, 1, 2):
        ordered.put_nowait(number)
    try:
        async with asyncio.timeout(5):
            await asyncio.Queue[int]().get()
    except TimeoutError:
        answers.append("empty")
    return [*sorted(answers[:-1]), answers[-1], *[ordered.get_nowait() for _ in range(3)]]


@workflow
async def events() -> list[object]:
    event, answers = asyncio.Event(), []

    async def waits(name: str) -> None:
        await event.wait()
        answers.append(name)
        await echo(name)

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(waits(name))
        await asyncio.sleep(5)
        event.set()
    event.clear()
    return [*answers, event.is_set(), asyncio.get_running_loop().time() >= 5]


@workflow
async def locks() -> list[object]:
    lock, answers = asyncio.Lock(), []

    async def guarded(number: int) -> None:
        async with lock:
            answers.append(f"in {number}")
            await echo(number)
            answers.append(f"out {number}")

    tasks = [asyncio.create_task(guarded(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.wait(tasks)
    return [*answers, lock.locked()]


@workflow
async def semaphores() -> list[object]:
    places, inside, most = asyncio.BoundedSemaphore(2), 0, 0

    async def work(number: int) -> int:
        nonlocal inside, most
        async with places:
            inside += 1
            most = max(most, inside)
            answer: int = await echo(number)
            inside -= 1
            return answer

    return [await asyncio.gather(*(work(number) for number in range(6))), most]


@workflow
async def conditions() -> list[object]:
    condition, stock, answers = asyncio.Condition(), [], []

    async def take(name: str) -> None:
        async with condition:
            await condition.wait_for(lambda: bool(stock))
            answers.append([name, stock.pop()])

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(take(name))
        for number in range(3):
            value = await echo(number)
            async with condition:
                stock.append(value)
                condition.notify(1 if number else 2)
    return answers


@workflow
async def barriers() -> list[object]:
    barrier, answers = asyncio.Barrier(3), []

    async def arrive(number: int) -> None:
        await slow(number, None)
        async with barrier as place:
            answers.append(place)
            observe([number, place])

    await asyncio.gather(*(arrive(number) for number in (3, 1, 2)))
    return [*sorted(answers), barrier.broken, asyncio.get_running_loop().time()]
