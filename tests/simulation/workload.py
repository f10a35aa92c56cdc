"""Workflows that play programs, and steps that tell the effect ledger what they do. Workflow code knows nothing of the simulation."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import apsw

from perdure import Retry, continue_as_new, info, now, patched, random, receive, saga, set_status, sleep_until, step, uuid4, workflow
from perdure.authoring.workflow import Workflow
from perdure.errors import CompensationFailed, RetryAfter, StepOutcomeUnknown
from perdure.store.sqlite.calls import NotAllowedInTransaction
from tests.simulation.ledger import Ledger
from tests.simulation.programs import Op, Program

BULK = "x" * 70_000


class Stage:
    """Where the ledger of the simulation that is under way is found by the bodies of steps."""

    ledger: Ledger
    has_marks: Callable[[], bool]
    """Whether the code that knows the marks is deployed by now."""


class Oops(RuntimeError):
    """Worth another try."""


class Odd(Exception):
    """Cannot be built again from its arguments."""

    def __init__(self, what: object) -> None:
        super().__init__("odd")
        self.what = what


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@step(retry=Retry(initial=0.2, maximum=4, attempts=5))
async def act(op: Op, seen: int) -> dict[str, Any]:
    return await body(op, seen)


@step(retry=Retry(initial=0.2, factor=30, maximum=3000, attempts=4))
async def act_patiently(op: Op, seen: int) -> dict[str, Any]:
    return await body(op, seen)


@step(retry=Retry(initial=0.1, attempts=4), timeout=0.25)
async def act_briefly(op: Op, seen: int) -> dict[str, Any]:
    return await body(op, seen)


@step(retry=Retry(initial=0.1, attempts=4), timeout=2)
def act_in_thread(op: Op, seen: int) -> dict[str, Any]:
    began = Stage.ledger.begin(info(), op, seen)
    return began.end(outcome(op, began.attempt))


@step(at_most_once=True)
async def act_once(op: Op, seen: int) -> dict[str, Any]:
    return await body(op, seen)


@step(at_most_once=True, retry=Retry(initial=0.3, attempts=3))
async def act_twice(op: Op, seen: int) -> dict[str, Any]:
    return await body(op, seen)


@step
async def huge(op: Op, seen: int) -> dict[str, Any]:
    return {**await body({**op, "fails": 0}, seen), "bulk": BULK}


async def body(op: Op, seen: int) -> dict[str, Any]:
    began = Stage.ledger.begin(info(), op, seen)
    try:
        if op["takes"]:
            await asyncio.sleep(op["takes"])
    except BaseException as error:
        raise began.end(error) from None
    return began.end(outcome(op, began.attempt))


def outcome(op: Op, attempt: int) -> BaseException | None:
    if attempt > op["fails"]:
        return None
    match op["error"]:
        case "final":
            return ValueError("final", op["place"])
        case "later":
            return RetryAfter(timedelta(seconds=1.5))
        case "odd":
            return Odd(object())
    return Oops(op["place"], attempt)


@step(transaction=True, retry=Retry(initial=0.2, maximum=4, attempts=5))
def book(db: apsw.Connection, op: Op, seen: int) -> dict[str, Any]:
    began = Stage.ledger.book(db, info(), op, seen)
    spoils = SPOILS.get(op["error"])
    if spoils is not None and began.attempt == 1 and (op["error"] != "full" or Stage.ledger.is_first(began)):
        raise began.end(spoils(db)) from None
    return began.end(outcome(op, began.attempt))


@step(transaction=True)
def book_huge(db: apsw.Connection, op: Op, seen: int) -> dict[str, Any]:
    return {**Stage.ledger.book(db, info(), op, seen).end(None), "bulk": BULK}


def forbidden(db: apsw.Connection) -> Exception:
    try:
        db.execute("commit")
    except NotAllowedInTransaction as error:
        return error
    raise AssertionError("a body has committed")


def rolled_back(db: apsw.Connection) -> Exception:
    """As SQLite does it by itself when a statement that writes is interrupted."""
    Stage.ledger.world.saw("a transactional step ended its transaction")
    db.exec_trace = None
    db.execute("rollback").fetchall()
    return Oops("the transaction is gone")


def full(db: apsw.Connection) -> Exception:
    rolled_back(db)
    return apsw.FullError("simulated: the disk is full")


SPOILS = {"forbidden": forbidden, "rolled_back": rolled_back, "full": full}
STEPS = {one.name: one for one in (act, act_patiently, act_briefly, act_in_thread, act_once, act_twice, huge, book, book_huge)}


def chosen(op: Op) -> Any:
    found: Any = STEPS[op["step"]]
    options = op.get("options")
    if options is None:
        return found
    return found.options(retry=Retry(attempts=options["attempts"], initial=0.1), timeout=options["seconds"])


# ── workflows ────────────────────────────────────────────────────────────────────────────────────────────────────────


@workflow
async def play(program: Program) -> list[Any]:
    return await Player().perform(program)


@workflow
async def play_also(program: Program) -> list[Any]:
    """Another name, which not every worker knows."""
    return await Player().perform(program)


WORKFLOWS: dict[str, Workflow[..., Any]] = {one.name: one for one in (play, play_also)}


class Player:
    """`seen` counts what the code has been told so far: each of it must have been on disk before."""

    def __init__(self) -> None:
        self.seen = 0

    async def perform(self, program: Program) -> list[Any]:
        return [await self.do(op) for op in program]

    async def do(self, op: Op) -> Any:
        found: Any = getattr(self, f"do_{op['do']}")
        return await found(op)

    async def do_step(self, op: Op) -> Any:
        try:
            result = await chosen(op)(op, self.seen)
        except Exception as error:
            self.seen += 1
            if isinstance(error, StepOutcomeUnknown) or op["is_caught"]:
                return f"{type(error).__name__}"
            raise
        self.seen += 1
        return result["serial"]

    async def do_sleep(self, op: Op) -> str:
        await asyncio.sleep(op["seconds"])
        self.seen += 1
        return "slept"

    async def do_receive(self, op: Op) -> Any:
        try:
            topic, value = await receive(dict.fromkeys(op["topics"], Any), timeout=op["timeout"])
        except TimeoutError:
            self.seen += 1
            return "nothing"
        self.seen += 1
        return [topic, value]

    async def do_status(self, op: Op) -> str:
        set_status(op)
        return "said"

    async def do_values(self, _op: Op) -> list[Any]:
        return [now().isoformat(), str(uuid4()), random().random(), info().run_id]

    async def do_gather(self, op: Op) -> list[Any]:
        results = await asyncio.gather(*[self.perform(branch) for branch in op["branches"]], return_exceptions=op["collects"])
        return [type(one).__name__ if isinstance(one, BaseException) else one for one in results]

    async def do_group(self, op: Op) -> Any:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.perform(branch)) for branch in op["branches"]]
        except ExceptionGroup as errors:
            return [type(error).__name__ for error in errors.exceptions]
        return [task.result() for task in tasks]

    async def do_race(self, op: Op) -> Any:
        tasks = [asyncio.create_task(self.perform(branch)) for branch in op["branches"]]
        until = asyncio.FIRST_EXCEPTION if op["until"] == "error" else asyncio.FIRST_COMPLETED
        done, left = await asyncio.wait(tasks, return_when=until, timeout=1.1 if op["until"] == "timeout" else None)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        ended = [index for index, task in enumerate(tasks) if task in done]
        return [*ended, *(type(tasks[index].exception()).__name__ for index in ended)]

    async def do_limit(self, op: Op) -> Any:
        try:
            async with asyncio.timeout(op["seconds"]):
                return await self.perform(op["body"])
        except TimeoutError:
            return "too late"

    async def do_shield(self, op: Op) -> Any:
        task = asyncio.create_task(self.perform(op["body"]))
        try:
            async with asyncio.timeout(op["seconds"]):
                return await asyncio.shield(task)
        except TimeoutError:
            if task.done():
                raise
            [result] = await asyncio.gather(task, return_exceptions=True)
            return ["late", type(result).__name__ if isinstance(result, BaseException) else result]

    async def do_wait_for(self, op: Op) -> Any:
        try:
            return await asyncio.wait_for(self.perform(op["body"]), op["seconds"])
        except TimeoutError:
            return "too late"

    async def do_event(self, op: Op) -> Any:
        event = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announce(event, op["branches"][0]))
            await event.wait()
            await sleep_until(now() + timedelta(seconds=0.3))
            self.seen += 1
            return await self.perform(op["branches"][1])

    async def _announce(self, event: asyncio.Event, body: Program) -> None:
        try:
            await self.perform(body)
        finally:
            event.set()

    async def do_completed(self, op: Op) -> list[Any]:
        tasks = [asyncio.create_task(self.perform(branch)) for branch in op["branches"]]
        results = []
        for one in asyncio.as_completed(tasks):
            try:
                results.append(await one)
            except Exception as error:
                results.append(type(error).__name__)
        return results

    async def do_attempt(self, op: Op) -> Any:
        try:
            return await self.perform(op["body"])
        except Exception as error:
            return type(error).__name__

    async def do_guarded(self, op: Op) -> Any:
        try:
            return await self.perform(op["body"])
        finally:
            await self.perform(op["clean_up"])

    async def do_background(self, op: Op) -> Any:
        task = asyncio.create_task(self.perform(op["body"]))
        meanwhile = await self.perform(op["meanwhile"])
        if op["cancels"]:
            task.cancel()
        [result] = await asyncio.gather(task, return_exceptions=True)
        return [meanwhile, type(result).__name__ if isinstance(result, BaseException) else result]

    async def do_locked(self, op: Op) -> list[Any]:
        lock = asyncio.Semaphore(2)
        return await asyncio.gather(*[self._locked(lock, branch) for branch in op["branches"]])

    async def _locked(self, lock: asyncio.Semaphore, branch: Program) -> Any:
        async with lock:
            return await self.perform(branch)

    async def do_pipe(self, op: Op) -> list[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=2)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fill(queue, op["items"]))
            return [await self._take(queue, op["each"]) for _ in op["items"]]

    async def do_saga(self, op: Op) -> Any:
        try:
            async with saga() as undo:
                for one in op["undo"]:
                    undo(STEPS[one["step"]], one, self.seen)
                done = await self.perform(op["body"])
                if op["fails"]:
                    raise Oops("the saga fails")
        except (Oops, CompensationFailed) as error:
            return type(error).__name__
        return done

    async def do_patched(self, op: Op) -> Any:
        is_new = Stage.has_marks() and patched(op["mark"])
        return [is_new, await self.perform(op.get("then" if is_new else "otherwise", []))]

    async def do_continue(self, op: Op) -> None:
        await continue_as_new(op["program"])

    async def _fill(self, queue: asyncio.Queue[Any], items: Program) -> None:
        for item in items:
            await queue.put(await self.do(item))

    async def _take(self, queue: asyncio.Queue[Any], each: Program) -> Any:
        return [await queue.get(), await self.perform(each)]
