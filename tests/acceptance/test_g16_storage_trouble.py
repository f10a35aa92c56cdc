"""G16: where the store cannot write, nothing is acknowledged; it goes on by itself when it can; what cannot be known is asked."""

import asyncio
from dataclasses import replace
from random import Random

import apsw
import pytest

from perdure import Engine, step, workflow
from perdure.errors import StoreFailed, StoreUnavailable
from tests.acceptance.harness import CALM, Stage, kinds, names

PLACED: list[int] = []


@step
async def place(number: int) -> int:
    PLACED.append(number)
    return number


@workflow
async def flow(count: int) -> int:
    return sum([await place(number) for number in range(count)])


@pytest.fixture(autouse=True)
def _nothing_is_placed() -> None:
    PLACED.clear()


class Trouble:
    """Raises at COMMIT: the next `times` times, or for ever."""

    def __init__(self, error: Exception, times: float = float("inf")) -> None:
        self.error = error
        self.left = times
        self.met = 0

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            self.met += 1
            raise self.error

    def end(self) -> None:
        self.left = 0


async def limit_pages(engine: Engine, spare: int) -> None:
    """Let SQLite find the disk full once so many more pages are used."""
    await engine._store.runner.write(lambda db: db.pragma("max_page_count", db.pragma("page_count") + spare))


async def test_on_a_full_disk_a_start_is_refused_and_nothing_of_it_is_stored(stage: Stage) -> None:
    @workflow
    async def length_of(text: str) -> int:
        return len(text)

    engine = await stage.engine(length_of)
    await limit_pages(engine, spare=1)

    with pytest.raises(StoreUnavailable, match="the disk is full .*; nothing was written: make room .* and try again"):
        await engine.start(length_of, "x" * 100_000, id="order-1")
    assert stage.content()["runs"] == []

    await limit_pages(engine, spare=1000)
    assert await (await engine.start(length_of, "x" * 100_000, id="order-1")).result(30) == 100_000


async def test_on_a_full_disk_a_step_is_neither_recorded_nor_seen_and_goes_on_when_there_is_room(stage: Stage) -> None:
    passed: list[int] = []

    @step
    async def make() -> str:
        await limit_pages(engine, spare=1)
        return "x" * 100_000

    @workflow
    async def length_of_what_is_made() -> int:
        length = len(await make())
        passed.append(length)
        return length

    engine = await stage.engine(length_of_what_is_made)
    run = await engine.start(length_of_what_is_made)
    await stage.until(lambda: not engine.worker._committer.is_available)
    assert passed == []
    assert await kinds(run) == ["started"]

    await limit_pages(engine, spare=1000)
    assert await run.result(30) == 100_000
    assert await kinds(run) == ["started", "step", "completed"]


async def test_while_the_store_cannot_commit_nothing_goes_on_and_then_it_goes_on_by_itself(stage: Stage) -> None:
    may_end = asyncio.Event()
    passed: list[str] = []

    @step
    async def wait() -> None:
        await may_end.wait()

    @workflow
    async def waits() -> str:
        await wait()
        passed.append("passed")
        return "done"

    engine = await stage.engine(waits)
    run = await engine.start(waits)
    await stage.until(lambda: engine.worker._attempts.under_way)
    trouble = stage.commits.before = Trouble(apsw.IOError("disk I/O error"))
    may_end.set()
    await stage.until(lambda: trouble.met > 5)
    assert passed == []
    assert await kinds(run) == ["started"]

    trouble.end()
    assert await run.result(30) == "done"
    assert await kinds(run) == ["started", "step", "completed"]


async def test_a_commit_that_failed_and_did_not_happen_is_repeated(stage: Stage) -> None:
    engine = await stage.engine(flow)
    run = await engine.start(flow, 3)
    stage.commits.before = Trouble(apsw.IOError("disk I/O error"), times=2)

    assert await run.result(30) == 3
    assert await names(run) == ["place"] * 3
    assert PLACED == [0, 1, 2]


@pytest.mark.parametrize("lost", range(1, 6))
async def test_a_commit_that_happened_although_it_failed_is_found_and_not_repeated(stage: Stage, lost: int) -> None:
    await stage.engine(flow)
    left = lost

    def lose_the_answer() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise apsw.IOError("disk I/O error")

    client = await stage.client()
    stage.commits.after = lose_the_answer
    run = await client.start(flow, 3)

    assert await run.result(30) == 3
    assert await kinds(run) == ["started", "step", "step", "step", "completed"]
    assert PLACED == [0, 1, 2]
    assert left <= 0


async def test_many_answers_lost_change_nothing_of_what_is_recorded(stage: Stage) -> None:
    engine = await stage.engine(flow)
    chance = Random(7)

    def lose_the_answer() -> None:
        if chance.random() < 0.4:
            raise apsw.IOError("disk I/O error")

    stage.commits.after = lose_the_answer
    runs = [await engine.start(flow, 5, id=f"order-{number}") for number in range(5)]

    assert [await run.result(30) for run in runs] == [10] * 5
    assert sorted(PLACED) == sorted([*range(5)] * 5)
    for run in runs:
        assert [record.position for record in await run.history()] == [*range(1, 8)]


async def test_a_failed_commit_is_never_told_to_the_workflow_as_a_failure_of_its_step(stage: Stage) -> None:
    @workflow
    async def careful() -> str:
        try:
            await place(1)
        except Exception as error:
            return repr(error)
        return "placed"

    engine = await stage.engine(careful)
    run = await engine.start(careful)
    stage.commits.before = Trouble(apsw.IOError("disk I/O error"), times=3)

    assert await run.result(30) == "placed"
    assert await kinds(run) == ["started", "step", "completed"]


async def test_after_a_failed_sync_the_process_says_that_it_must_end_and_the_next_one_goes_on(stage: Stage) -> None:
    engine = await stage.engine(flow)
    run = await engine.start(flow, 1)
    await run.result(30)
    sync = apsw.IOError("disk I/O error")
    sync.extendedresult = apsw.SQLITE_IOERR_FSYNC
    stage.commits.before = Trouble(sync, times=1)
    with pytest.raises(StoreFailed, match="the disk failed to sync.*restart the process"):
        await engine.start(flow, 2, id="order-2")
    await stage.until(engine.failure.done, skipping=1)
    with pytest.raises(StoreFailed):
        await engine.failure
    await stage.stop(engine)

    again = await stage.engine(flow)
    assert await (await again.start(flow, 2, id="order-2")).result(30) == 1


async def test_a_worker_does_not_claim_while_the_store_does_not_take_its_checkpoints(stage: Stage) -> None:
    engine = await stage.engine(flow)
    client = await stage.client()
    raised = stage.fail(engine, "checkpoint", StoreUnavailable("busy"), times=10)
    asked: list[bool] = []
    real = engine._store.checkpoint

    async def watch(batch):
        asked.append(batch.claims is not None)
        return await real(batch)

    engine._store.checkpoint = watch
    run = await client.start(flow, 2)

    assert await run.result(30) == 1
    assert len(raised) == 10
    assert asked[1:10] == [False] * 9


async def test_a_read_that_fails_is_tried_again_and_no_run_is_left_out(stage: Stage) -> None:
    @workflow
    async def naps() -> str:
        await asyncio.sleep(3600)
        return "slept"

    engine = await stage.engine(naps)
    runs = [await engine.start(naps) for _ in range(5)]
    for run in runs:
        await stage.until_parked(engine, run)
    raised = stage.fail(engine, "load", StoreUnavailable("busy"), times=3)
    stage.skip(3600)

    assert [await run.result(30) for run in runs] == ["slept"] * 5
    assert len(raised) == 3


@pytest.mark.parametrize("error", [StoreUnavailable("busy"), RuntimeError("nobody expected this")], ids=["busy", "unexpected"])
async def test_the_lease_is_renewed_again_after_it_could_not_be_renewed(stage: Stage, error: Exception) -> None:
    engine = await stage.engine(flow)
    real, failures = engine._store.renew, []

    def renew(incarnation: str, lease: int) -> bool:
        if len(failures) < 2:
            failures.append(incarnation)
            raise error
        return real(incarnation, lease)

    engine._store.renew = renew
    heartbeat = engine.worker._lease.heartbeat

    assert [heartbeat._renew() for _ in range(3)] == [True, True, True]
    assert len(failures) == 2


@pytest.mark.parametrize("damaged", ["step", "completed"])
async def test_a_commit_whose_answer_is_lost_and_whose_record_is_damaged_stops_no_other_run(stage: Stage, damaged: str) -> None:
    engine = await stage.engine(flow, settings=replace(CALM, poll_seconds=0.05))

    def lose_the_answer_and_a_record() -> None:
        assert stage.commits.db is not None
        if list(stage.commits.db.execute("select 1 from history where run_id = 'damaged' and kind = ?", (damaged,))):
            stage.commits.after = lambda: None
            stage.sql("update history set output = x'37' where run_id = 'damaged' and kind = ?", damaged)
            raise apsw.IOError("disk I/O error")

    stage.commits.after = lose_the_answer_and_a_record
    run = await engine.start(flow, 1, id="damaged")
    if damaged == "step":
        await stage.until_state(run, "quarantined")
    else:
        await stage.until_state(run, "completed")
        await stage.until(lambda: run.id not in engine.worker.live)

    assert not engine.failure.done()
    assert await (await engine.start(flow, 3)).result(30) == 3
