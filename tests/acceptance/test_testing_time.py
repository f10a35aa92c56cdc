"""perdure.testing: time stands still until the test moves it, and what falls due happens at its own moment."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from perdure import Retry, receive, set_status, sleep_until, step, testing, workflow
from perdure.errors import NonDeterminism, RetryAfter, RunCancelled, RunEnded, RunFailed, RunNotFound

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
BUDGET_SECONDS = 0.05  # of a workflow that takes 60 days
seen: list[object] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


@step
async def note(what: str) -> str:
    seen.append(what)
    return what


@step
def note_in_a_thread(what: str) -> str:
    seen.append(what)
    return what


@workflow
async def daily(days: int) -> int:
    for day in range(days):
        await note(f"day {day}")
        await asyncio.sleep(86_400)
    return days


@workflow
async def paid_within(seconds: float) -> str:
    try:
        return await receive("paid", str, timeout=seconds)
    except TimeoutError:
        return "expired"


@step(retry=Retry(initial=60, factor=2, jitter=0, attempts=4), timeout=30)
async def call(number: int) -> int:
    return number


@workflow
async def calling(number: int) -> int:
    return await call(number)


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_workflow_of_sixty_days_is_tested_in_less_than_fifty_milliseconds() -> None:
    async with testing.engine([daily]) as warm:  # the first of a process loads what all use
        await warm.finish(await warm.start(daily, 1))
    took = []
    for _ in range(10):
        seen.clear()
        began = time.process_time()  # what others do on this machine at the same time is not counted
        async with testing.engine([daily], start=START) as engine:
            run = await engine.start(daily, 60)
            await engine.skip(days=60)
            assert await run.result() == 60
        took.append(time.process_time() - began)
        assert len(seen) == 60
    assert min(took) < BUDGET_SECONDS


async def test_time_stands_still_until_it_is_skipped() -> None:
    async with testing.engine([daily], start=START) as engine:
        run = await engine.start(daily, 2)
        assert engine.now == START
        assert seen == ["day 0"]
        status = await run.status()
        assert status.state == "waiting"
        assert status.waiting_for[0]["until"] == "2026-03-02T09:00:00Z"
        await engine.skip(hours=23, minutes=59, seconds=59.999999)
        assert seen == ["day 0"]
        await engine.skip(timedelta(microseconds=1))
        assert seen == ["day 0", "day 1"]


async def test_each_timer_fires_at_its_own_time() -> None:
    @workflow
    async def waits() -> None:
        await asyncio.gather(*(asyncio.sleep(hours * 3600) for hours in (5, 1, 3)))
        await sleep_until(datetime(2026, 3, 5, tzinfo=UTC))

    async with testing.engine([waits], start=START) as engine:
        run = await engine.start(waits)
        await engine.skip(days=30)
        fired = [one.at for one in await run.history() if one.kind == "timer"]
        assert fired == [START + timedelta(hours=hours) for hours in (1, 3, 5)] + [datetime(2026, 3, 5, tzinfo=UTC)]
        assert engine.now == START + timedelta(days=30)


async def test_many_runs_keep_their_order_in_time() -> None:
    @workflow
    async def naps(minutes: int) -> None:
        await asyncio.sleep(60 * minutes)
        await note(str(minutes))

    async with testing.engine([naps]) as engine:
        for minutes in (30, 10, 20, 10):
            await engine.start(naps, minutes)
        await engine.skip_to(engine.now + timedelta(minutes=30))
        assert seen == ["10", "10", "20", "30"]


async def test_a_result_that_needs_time_is_refused_with_what_the_run_waits_for() -> None:
    async with testing.engine([paid_within], start=START) as engine:
        run = await engine.start(paid_within, 3600)
        with pytest.raises(testing.NotEnded, match=r"timer until 2026-03-01 10:00:00 UTC; signal 'paid'.*engine\.skip"):
            await run.result()
        waiter = asyncio.create_task(run.result())
        await engine.skip(hours=1)
        assert await waiter == "expired"


async def test_finish_lets_as_much_time_pass_as_the_run_needs() -> None:
    async with testing.engine([daily, paid_within], start=START) as engine:
        other = await engine.start(paid_within, 30 * 86_400)
        assert await engine.finish(await engine.start(daily, 3)) == 3
        assert engine.now == START + timedelta(days=3)
        assert (await other.status()).state == "waiting"


async def test_finish_says_what_is_missing_where_nothing_will_happen_by_itself() -> None:
    @workflow
    async def waits_for_ever() -> None:
        set_status("asking")
        await receive("answer")

    async with testing.engine([waits_for_ever]) as engine:
        with pytest.raises(testing.NotEnded, match="waits for: signal 'answer'"):
            await engine.finish(await engine.start(waits_for_ever))


async def test_a_naive_start_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        testing.engine([daily], start=datetime(2026, 3, 1))


# ── signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("after", "result"), [(3599.999999, "card"), (3600, "card"), (3600.000001, "expired")])
async def test_a_planned_signal_comes_at_its_time_and_before_a_timer_of_the_same_moment(after: float, result: str) -> None:
    async with testing.engine([paid_within]) as engine:
        run = await engine.start(paid_within, 3600)
        engine.at(after, run.signal, "paid", "card", key="1")
        if result == "expired":
            with pytest.raises(RunEnded):
                await engine.skip(hours=2)
        else:
            await engine.skip(hours=2)
        assert await run.result() == result


async def test_plans_are_carried_out_at_absolute_moments_too_and_may_be_plain_functions() -> None:
    async with testing.engine([], start=START) as engine:
        engine.at(START + timedelta(hours=2), lambda: seen.append(engine.now))
        await engine.skip(days=1)
        assert seen == [START + timedelta(hours=2)]


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_pauses_between_the_tries_of_a_step_pass_like_all_time() -> None:
    async with testing.engine([calling], start=START) as engine:
        engine.fake(call, each=[OSError("no route"), RetryAfter(7200), 5])
        assert await engine.finish(await engine.start(calling, 1)) == 5
        assert [one.at - START for one in engine.calls(call)] == [timedelta(0), timedelta(seconds=60), timedelta(seconds=7260)]
        assert [one.attempt for one in engine.calls(call)] == [1, 2, 3]
        assert len({one.idempotency_key for one in engine.calls(call)}) == 1


async def test_a_fake_takes_virtual_time_and_meets_the_time_limit_of_its_step() -> None:
    async with testing.engine([calling], start=START) as engine:
        engine.fake(call, 1, takes=20)
        assert await engine.finish(await engine.start(calling, 1)) == 1
        assert engine.now == START + timedelta(seconds=20)
        engine.fake(call, 1, takes=31)
        with pytest.raises(RunFailed, match="took longer than its timeout of 30 s"):
            await engine.finish(await engine.start(calling, 1))


@pytest.mark.parametrize("outcome", [7, lambda number: number + 6, lambda other_name: 7])
async def test_a_step_is_faked_by_a_value_or_a_function(outcome: object) -> None:
    async with testing.engine([calling]) as engine:
        engine.fake(call, outcome)
        assert await (await engine.start(calling, 1)).result() == 7
        [made] = engine.calls()
        assert (made.step, made.arguments, made.result) == ("call", {"number": 1}, 7)


async def test_a_step_is_faked_by_an_async_function() -> None:
    async def slowly(number: int) -> int:
        await engine.elapse(5)
        return number

    async with testing.engine([calling], start=START) as engine:
        engine.fake(call, slowly)
        assert await engine.finish(await engine.start(calling, 3)) == 3
        assert engine.now == START + timedelta(seconds=5)


@pytest.mark.parametrize("outcome", [ValueError("never"), ValueError])
async def test_a_step_is_faked_by_an_exception(outcome: object) -> None:
    async with testing.engine([calling]) as engine:
        engine.fake(call, outcome)
        with pytest.raises(RunFailed) as failed:
            await (await engine.start(calling, 1)).result()
        assert isinstance(failed.value.__cause__, ValueError)


async def test_a_fake_that_does_not_fit_the_type_of_its_step_fails() -> None:
    async with testing.engine([calling]) as engine:
        engine.fake(call, "seven")
        with pytest.raises(RunFailed, match="result of step call"):
            await (await engine.start(calling, 1)).result()


async def test_an_attempt_more_than_there_are_outcomes_fails_with_the_count() -> None:
    async with testing.engine([calling]) as engine:
        engine.fake(call, each=[1])
        await engine.start(calling, 1)
        with pytest.raises(RunFailed, match="was called 2 times, but only 1 outcomes were given"):
            await (await engine.start(calling, 1)).result()


async def test_real_steps_can_be_ruled_out() -> None:
    @workflow
    async def both() -> None:
        await note_in_a_thread("x")

    async with testing.engine([both], real_steps=False) as engine:
        with pytest.raises(RunFailed, match="step note_in_a_thread is not faked"):
            await (await engine.start(both)).result()
    assert not seen


async def test_plain_functions_run_in_threads_and_are_waited_for() -> None:
    @workflow
    async def threaded() -> list[str]:
        return list(await asyncio.gather(*(note_in_a_thread(str(number)) for number in range(5))))

    async with testing.engine([threaded]) as engine:
        run = await engine.start(threaded)
        assert sorted(str(one) for one in seen) == list("01234")
        assert await run.result() == list("01234")
        assert {one.result for one in engine.calls(note_in_a_thread)} == set("01234")


async def test_a_step_that_takes_real_time_is_waited_for_with_patience() -> None:
    release = asyncio.Event()

    @step
    async def stuck() -> None:
        await release.wait()

    @workflow
    async def hangs() -> None:
        await stuck()

    async with testing.engine([hangs], patience=0.05) as engine:
        with pytest.raises(AssertionError, match=r"step stuck of run .* under way for 0\.05 s of real time"):
            await engine.start(hangs, id="a")
        release.set()
        assert await engine.run("a").result() is None


async def test_a_fake_can_wait_for_the_test() -> None:
    may_go_on = asyncio.Event()
    async with testing.engine([calling]) as engine:

        async def held(number: int) -> int:
            await engine.hold(may_go_on.wait())
            return number

        engine.fake(call, held)
        run = await engine.start(calling, 3)
        assert (await run.status()).state == "running"
        may_go_on.set()
        assert await run.result() == 3


async def test_time_does_not_go_back() -> None:
    async with testing.engine([], start=START) as engine:
        with pytest.raises(ValueError, match="time does not go back"):
            await engine.skip_to(START - timedelta(seconds=1))
        with pytest.raises(ValueError, match="must not be negative"):
            await engine.skip(hours=-1)


async def test_a_step_may_use_the_engine_it_runs_in() -> None:
    @step
    async def pay(run_id: str) -> None:
        await engine.run(run_id).signal("paid", "by another run")

    @workflow
    async def payer(run_id: str) -> None:
        await pay(run_id)

    async with testing.engine([paid_within, payer]) as engine:
        waiting = await engine.start(paid_within, 60)
        await engine.start(payer, waiting.id)
        assert await waiting.result() == "by another run"


# ── what else a test can rely on ─────────────────────────────────────────────────────────────────────────────────────


async def test_ids_and_random_numbers_are_the_same_in_every_run_of_a_test() -> None:
    ids = []
    for seed in (0, 0, 1):
        async with testing.engine([calling], seed=seed) as engine:
            ids.append((await engine.start(calling, 1)).id)
    assert ids[0] == ids[1] != ids[2]


async def test_a_workflow_that_does_not_replay_fails_the_test_when_its_block_ends() -> None:
    times: list[int] = []

    @workflow
    async def changes_its_mind() -> None:
        times.append(1)
        await note("first" if len(times) == 1 else "second")
        if len(times) > 1:
            await call(1)

    with pytest.raises(testing.ReplayDifference, match="changes_its_mind, replayed against its code: it returned null, with this code it"):
        async with testing.engine([changes_its_mind]) as engine:
            await (await engine.start(changes_its_mind)).result()


async def test_a_workflow_that_does_not_replay_is_quarantined_at_its_next_wait() -> None:
    times: list[int] = []

    @workflow
    async def changes_its_mind() -> None:
        times.append(1)
        await (note("x") if len(times) == 1 else call(1))
        await asyncio.sleep(1)

    async with testing.engine([changes_its_mind]) as engine:
        run = await engine.start(changes_its_mind)
        with pytest.raises(testing.NotEnded, match=f"quarantined: .*{NonDeterminism.__name__}.*the code now asks for 'call'"):
            await engine.finish(run)


async def test_a_process_can_be_killed_in_the_middle_of_a_test() -> None:
    closed = []

    @step
    async def holds() -> str:
        try:
            await asyncio.Event().wait() if len(engine.calls(holds)) == 1 else None
        finally:
            closed.append(len(engine.calls(holds)))
        return "done"

    @workflow
    async def works() -> str:
        await note("before")
        return await holds()

    async with testing.engine([works], patience=0.02) as engine:
        with pytest.raises(AssertionError, match="step holds"):
            await engine.start(works, id="a")
        await engine.crash()
        assert await engine.run("a").result() == "done"
        assert [one.step for one in engine.calls()] == ["note", "holds", "holds"]
        assert closed == [2]  # a killed step does not clean up


async def test_many_tasks_of_a_test_meet_one_new_process_after_a_crash() -> None:
    async with testing.engine([paid_within], start=START) as engine:
        runs = [await engine.start(paid_within, 60) for _ in range(5)]
        results = [asyncio.create_task(run.result()) for run in runs]
        await asyncio.gather(engine.crash(), engine.skip(minutes=1))
        assert await asyncio.gather(*results) == ["expired"] * 5
        assert len(await engine._store.workers()) == 1


async def test_a_run_of_a_workflow_that_the_engine_does_not_know_waits_for_one_that_does() -> None:
    async with testing.engine([calling]) as engine:
        run = await engine.start("unknown", 1)
        with pytest.raises(testing.NotEnded, match="a worker that knows workflow 'unknown'"):
            await engine.finish(run)


async def test_the_store_can_be_kept_in_a_file(tmp_path) -> None:
    async with testing.engine([calling], path=tmp_path / "store.db") as engine:
        await engine.start(calling, 1, id="a")
        await engine.crash()
    async with testing.engine([calling], path=tmp_path / "store.db") as engine:
        assert await engine.run("a").result() == 1


# ── what people do to runs ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_cancelled_run_has_its_grace_in_virtual_time() -> None:
    @workflow
    async def cleans_up() -> None:
        try:
            await asyncio.sleep(86_400)
        finally:
            await asyncio.sleep(100)
            await note("cleaned")
            await asyncio.sleep(1000)
            await note("too late")

    async with testing.engine([cleans_up], start=START) as engine:
        run = await engine.start(cleans_up)
        await run.cancel(grace=timedelta(minutes=5))
        await engine.skip(seconds=299)
        assert (await run.status()).state != "cancelled"
        await engine.skip(seconds=1)
        assert (await run.status()).state == "cancelled"
        with pytest.raises(RunCancelled):
            await run.result()
        assert seen == ["cleaned"]


async def test_a_paused_run_lets_time_pass_and_a_failed_one_goes_on_from_where_it_failed() -> None:
    async with testing.engine([daily, calling]) as engine:
        paused = await engine.start(daily, 2)
        await paused.pause()
        await engine.skip(days=5)
        assert seen == ["day 0"]
        await paused.resume()
        assert seen == ["day 0", "day 1"]

        engine.fake(call, ValueError("out of order"))
        failed = await engine.start(calling, 1)
        engine.fake(call, 1)
        await failed.retry()
        assert await failed.result() == 1


async def test_a_deleted_run_is_gone() -> None:
    async with testing.engine([calling]) as engine:
        run = await engine.start(calling, 1)
        await run.delete()
        with pytest.raises(RunNotFound):
            await run.result()
