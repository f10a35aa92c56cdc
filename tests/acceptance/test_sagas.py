"""`saga()`: compensations are recorded steps; they survive crashes half-way, are tried again, and are shown."""

import asyncio
from typing import Any

import apsw
import pytest

from perdure import Retry, info, receive, saga, step, workflow
from perdure.errors import CompensationFailed, RunFailed
from tests.acceptance.harness import Stage, kinds

bodies: list[str] = []
"""What bodies of steps did, whatever was recorded of it."""


@pytest.fixture(autouse=True)
def _forget() -> None:
    bodies.clear()
    Troubles.left = 0


class Troubles:
    left = 0


class Declined(Exception):
    """The bank says no."""


@step
async def book(what: str) -> str:
    bodies.append(f"book {what}")
    return what


@step(retry=Retry(initial=3600, jitter=0))
async def cancel(what: str) -> str | None:
    if Troubles.left:
        Troubles.left -= 1
        raise OSError("no line")
    bodies.append(f"cancel {what} as {info().idempotency_key}")
    return what


@step
def cancel_by_telephone(what: str) -> None:
    bodies.append(f"cancel {what} in a thread")


@step(at_most_once=True)
async def cancel_once(what: str) -> None:
    bodies.append(f"cancel {what} once")
    await asyncio.sleep(3600)


@step(retry=Retry(attempts=1))
async def cannot_cancel(what: str) -> None:
    raise LookupError(what)


@workflow
async def trip(*whats: str) -> str:
    async with saga() as undo:
        for what in whats:
            await book(what)
            undo(cancel, what)
        undo(cancel_by_telephone, "taxi")
        await receive("go")
        raise Declined("no money")
    return "never"


async def recorded(run: Any) -> list[str]:
    return [f"{record.kind} {record.name}" for record in await run.history()]


async def test_a_run_that_fails_is_undone_in_reverse_and_fails_with_its_own_error(stage: Stage) -> None:
    engine = await stage.engine(trip)
    run = await engine.start(trip, "hotel", "flight", id="trip")
    await run.signal("go")

    with pytest.raises(RunFailed) as failed:
        await run.result(30)

    assert isinstance(failed.value.__cause__, Declined)
    assert bodies[2:] == ["cancel taxi in a thread", "cancel flight as default/trip/0/3", "cancel hotel as default/trip/0/4"]
    assert (await recorded(run))[-5:] == [
        "signal go",
        "compensated cancel_by_telephone",
        "compensated cancel",
        "compensated cancel",
        "failed trip",
    ]


@pytest.mark.parametrize("killed_after", range(1, 9))
async def test_a_death_after_any_record_leaves_nothing_undone_and_undoes_nothing_twice(stage: Stage, killed_after: int) -> None:
    engine = await stage.engine(trip)
    await (await engine.start(trip, "hotel", "flight", id="trip")).signal("go")
    await stage.until(lambda: stage.sql("select count(*) from history")[0][0] >= killed_after)
    await stage.kill(engine)
    compensated = stage.sql("select count(*) from history where kind = 'compensated'")[0][0]
    seen = len(bodies)

    engine = await stage.engine(trip)
    with pytest.raises(RunFailed, match="no money"):
        await engine.run("trip").result(30)

    assert (await recorded(engine.run("trip")))[-4:-1] == ["compensated cancel_by_telephone"] + ["compensated cancel"] * 2
    for what in ("taxi", "flight", "hotel")[:compensated]:
        assert not [one for one in bodies[seen:] if one.startswith(f"cancel {what}")], "it was recorded and has begun again"
    assert {one.split()[1] for one in bodies if one.startswith("cancel")} == {"hotel", "flight", "taxi"}


async def test_a_compensation_is_tried_again_across_deaths_and_shown_by_name_while_it_waits(stage: Stage) -> None:
    Troubles.left = 2
    engine = await stage.engine(trip)
    run = await engine.start(trip, "hotel")
    await run.signal("go")
    await stage.until_parked(engine, run)
    (wait,) = (await run.status()).waiting_for
    assert wait["text"].startswith("compensation cancel to be tried again at")
    assert (wait["kind"], wait["step"], wait["failures"]) == ("retry", "cancel", 1)

    await stage.kill(engine)
    engine = await stage.engine(trip)
    stage.skip(hours=1.1)
    await stage.until(lambda: stage.sql("select 1 from attempts where failures = 2"))
    stage.skip(hours=2.1)

    with pytest.raises(RunFailed, match="no money"):
        await engine.run(run.id).result(30)
    assert [record.attempt for record in await engine.run(run.id).history() if record.name == "cancel"] == [3]


async def test_a_compensation_whose_outcome_is_unknown_counts_as_failed_and_the_others_go_on(stage: Stage) -> None:
    @workflow
    async def once() -> None:
        async with saga() as undo:
            undo(cancel_by_telephone, "taxi")
            undo(cancel_once, "hotel")
            raise Declined("no money")

    engine = await stage.engine(once)
    run = await engine.start(once)
    await stage.until(lambda: bodies)
    await stage.kill(engine)
    engine = await stage.engine(once)

    with pytest.raises(RunFailed, match="1 of 2 compensations failed \\(cancel_once\\) after Declined: no money"):
        await engine.run(run.id).result(30)
    assert bodies == ["cancel hotel once", "cancel taxi in a thread"]


async def test_what_could_not_be_undone_fails_the_run_with_every_error_as_its_cause(stage: Stage) -> None:
    @workflow
    async def hopeless() -> None:
        async with saga() as undo:
            undo(cannot_cancel, "hotel")
            undo(cancel, "car")
            undo(cannot_cancel, "flight")
            raise Declined("no money")

    engine = await stage.engine(hopeless)
    run = await engine.start(hopeless)

    with pytest.raises(RunFailed) as failed:
        await run.result(30)

    cause = failed.value.__cause__
    assert isinstance(cause, CompensationFailed)
    assert [(type(one), *one.args) for one in cause.exceptions] == [(Declined, "no money"), (LookupError, "flight"), (LookupError, "hotel")]
    assert await kinds(run) == ["started", "compensation_failed", "compensated", "compensation_failed", "failed"]
    assert (await run.status()).error["type"].endswith("CompensationFailed")


async def test_a_saga_that_succeeds_leaves_no_trace(stage: Stage) -> None:
    @workflow
    async def succeeds() -> str:
        async with saga() as undo:
            done = await book("hotel")
            undo(cancel, done)
        return done

    engine = await stage.engine(succeeds)
    run = await engine.start(succeeds)

    assert await run.result(30) == "hotel"
    assert await kinds(run) == ["started", "step", "completed"]


async def test_a_transactional_step_can_undo(stage: Stage) -> None:
    @step(transaction=True)
    def pay_back(db: apsw.Connection, account: str) -> None:
        db.execute("insert into payments values (?)", (account,))

    @workflow
    async def pays() -> None:
        async with saga() as undo:
            undo(pay_back, "ann")
            raise Declined("no money")

    engine = await stage.engine(pays)
    stage.sql("create table payments (account text)")
    run = await engine.start(pays)
    with pytest.raises(RunFailed, match="no money"):
        await run.result(30)

    assert stage.sql("select account from payments") == [("ann",)]
    assert await kinds(run) == ["started", "compensated", "failed"]
