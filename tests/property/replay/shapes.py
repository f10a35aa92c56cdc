"""Random workflow shapes: a tree that one workflow interprets, and how Hypothesis draws one."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from hypothesis import strategies as st

from perdure import now, patched, random, receive, saga, set_status, step, workflow
from perdure.errors import DecodeError
from tests.driving import Signal, observe

Shape = Any
"""`[kind, …]`: JSON, so that a run can be given it."""

TOPICS = ("a", "b", "c")
SECONDS = (0, 0.5, 1, 2, 5, 30)


@step
async def first(value: str) -> str:
    return value


@step
def second(value: str) -> str:
    return value.upper()


@step
async def fails(value: str) -> str:
    raise LookupError(value)


STEPS = {"first": first, "second": second, "fails": fails}


@workflow
async def interprets(shape: Shape) -> Any:
    return await Interpreter().perform(shape)


class Interpreter:
    """Performs a shape. Every branch tells what it saw, so that a replay that sees anything else is caught."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.event = asyncio.Event()
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.tasks: list[asyncio.Task[Any]] = []

    async def perform(self, shape: Shape) -> Any:
        kind, *parts = shape
        try:
            value = await getattr(self, f"on_{kind}")(*parts)
        except BaseException as error:
            observe([kind, type(error).__name__])
            raise
        observe([kind, value])
        return value

    # ── leaves ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def on_step(self, name: str, label: str) -> str:
        return str(await STEPS[name](label))

    async def on_sleep(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return now().isoformat()

    async def on_receive(self, topics: list[str], timeout: float | None) -> Any:
        try:
            return await receive(dict.fromkeys(topics, int), timeout=timeout)
        except (TimeoutError, DecodeError) as error:
            return type(error).__name__

    async def on_draw(self) -> int:
        set_status(random().randrange(100))
        return random().randrange(1000)

    async def on_patched(self, mark: str) -> str:
        return str(await (first if patched(mark) else fails)(mark))

    async def on_put(self, label: str) -> str:
        self.event.set()
        self.queue.put_nowait(label)
        return label

    async def on_get(self) -> str:
        return await self.queue.get()

    async def on_event(self) -> bool:
        return await self.event.wait()

    # ── branches ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def on_sequence(self, *parts: Shape) -> list[Any]:
        return [await self.perform(part) for part in parts]

    async def on_gather(self, keeps_errors: bool, *parts: Shape) -> list[Any]:
        answers = await asyncio.gather(*(self.perform(part) for part in parts), return_exceptions=keeps_errors)
        return [type(answer).__name__ if isinstance(answer, BaseException) else answer for answer in answers]

    async def on_group(self, *parts: Shape) -> list[Any]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.perform(part)) for part in parts]
        return [task.result() for task in tasks]

    async def on_first(self, *parts: Shape) -> Any:
        tasks = [asyncio.create_task(self.perform(part)) for part in parts]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return [tasks.index(task) for task in done]

    async def on_completed(self, *parts: Shape) -> list[Any]:
        return [await one for one in asyncio.as_completed([self.perform(part) for part in parts])]

    async def on_timeout(self, seconds: float, part: Shape) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await self.perform(part)
        except TimeoutError:
            return "timed out"

    async def on_shield(self, part: Shape) -> Any:
        task = asyncio.create_task(self.perform(part))
        self.tasks.append(task)
        return await asyncio.shield(task)

    async def on_cancel(self, seconds: float, part: Shape) -> Any:
        task = asyncio.create_task(self.perform(part))
        await asyncio.sleep(seconds)
        was_cancelled = task.cancel()
        await asyncio.wait([task])
        return [was_cancelled, task.cancelled()]

    async def on_spawn(self, part: Shape) -> str:
        self.tasks.append(asyncio.create_task(self.perform(part)))
        return "spawned"

    async def on_locked(self, part: Shape) -> Any:
        async with self.lock:
            return await self.perform(part)

    async def on_finally(self, part: Shape, clean_up: Shape) -> Any:
        try:
            return await self.perform(part)
        finally:
            await self.perform(clean_up)

    async def on_catch(self, part: Shape, otherwise: Shape) -> Any:
        try:
            return await self.perform(part)
        except Exception:  # this is what users write
            return await self.perform(otherwise)

    async def on_saga(self, names: list[str], part: Shape) -> Any:
        async with saga() as undo:
            for name in names:
                undo(STEPS[name], f"undo {name}")
            return await self.perform(part)

    async def on_swallow(self, part: Shape) -> Any:
        return await swallowed(self.perform(part))


async def swallowed(waits: Awaitable[Any]) -> Any:
    try:
        return await waits
    except BaseException:  # the worst that users write
        return "swallowed"


labels = st.sampled_from(["x", "y", "z"])
seconds = st.sampled_from(SECONDS)
steps = st.tuples(st.just("step"), st.sampled_from(["first", "second", "first", "second", "fails"]), labels)
sleeps = st.tuples(st.just("sleep"), seconds)
receives = st.tuples(st.just("receive"), st.lists(st.sampled_from(TOPICS), min_size=1, max_size=2, unique=True), st.none() | seconds)
others = st.sampled_from([("draw",), ("patched", "m"), ("patched", "n"), ("put", "x"), ("put", "y"), ("get",), ("event",)])
leaves: st.SearchStrategy[Shape] = st.one_of(steps, steps, sleeps, receives, others)


def branches(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    parts = st.lists(inner, min_size=1, max_size=4)
    wide = st.one_of(
        parts.map(lambda given: ["sequence", *given]),
        st.tuples(st.booleans(), parts).map(lambda given: ["gather", given[0], *given[1]]),
        parts.map(lambda given: ["group", *given]),
        parts.map(lambda given: ["first", *given]),
        parts.map(lambda given: ["completed", *given]),
    )
    return st.one_of(
        wide,
        wide,
        st.tuples(st.just("timeout"), seconds, inner),
        st.tuples(st.sampled_from(["shield", "spawn", "locked", "swallow"]), inner),
        st.tuples(st.just("cancel"), seconds, inner),
        st.tuples(st.sampled_from(["finally", "catch"]), inner, inner),
        st.tuples(st.just("saga"), st.lists(st.sampled_from(["first", "second", "fails"]), max_size=3), inner),
    )


def several(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    return st.lists(inner, min_size=2, max_size=4)


part = branches(st.one_of(leaves, branches(leaves)))
sequence = several(st.one_of(leaves, part)).map(lambda parts: ["sequence", *parts])
# What fails at the top would end the run: there errors are kept, for most of what is drawn shall have a long history.
shapes: st.SearchStrategy[Shape] = several(st.one_of(sequence, part)).map(lambda parts: ["gather", True, *parts])
signals: st.SearchStrategy[list[Signal]] = st.lists(
    st.tuples(st.sampled_from(SECONDS), st.sampled_from(TOPICS), st.integers(0, 9) | st.just("no number")), max_size=8
)
schedules = st.integers(0, 2**16)
