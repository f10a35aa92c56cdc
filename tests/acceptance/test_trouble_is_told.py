"""`on_trouble` is called once per failed, quarantined or stranded run, over restarts and whichever worker is there."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from perdure import Trouble, receive, step, workflow
from perdure.errors import StoreUnavailable
from perdure.settings import Settings
from perdure.store.protocol import STRIKES_MOST
from tests.acceptance.harness import CALM, Stage
from tests.acceptance.test_g14_poison import _nobody_executes, die, poison  # noqa: F401 - a fixture of the runs that kill

QUICK = replace(CALM, sweep_seconds=0.05)


class Listener:
    """What was told, in order. `fails` so many times first."""

    def __init__(self, fails: int = 0) -> None:
        self.told: list[Trouble] = []
        self.calls = 0
        self._fails = fails

    async def __call__(self, trouble: Trouble) -> None:
        self.calls += 1
        if self.calls <= self._fails:
            raise ConnectionError("nobody answers the phone")
        self.told.append(trouble)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(one.run_id, one.kind) for one in self.told]


@step
async def charge() -> None:
    raise ValueError("card declined")


@workflow
async def order() -> None:
    await charge()


@workflow
async def hear() -> str:
    return await receive("word", str)


@step
async def reserve() -> str:
    return "reserved"


@workflow(name="hear")
async def reserve_and_hear() -> str:
    await reserve()
    return await receive("word", str)


async def settled(stage: Stage) -> None:
    """Nothing is left to tell, and some rounds have passed in which it could have been told again."""
    await stage.until(lambda: not stage.sql("select 1 from troubles where next_at is not null"))
    await several_sweeps(stage)


async def several_sweeps(stage: Stage) -> None:
    for _ in range(3):
        await stage.until_sweep()


async def test_a_failed_run_is_told_once_with_its_error(stage: Stage) -> None:
    listener = Listener()
    engine = await stage.engine(order, settings=QUICK, on_trouble=listener)
    run = await engine.start(order, id="order-1")
    await stage.until(lambda: listener.told)
    await settled(stage)

    (trouble,) = listener.told
    assert (trouble.run_id, trouble.workflow, trouble.kind) == ("order-1", "order", "failed")
    assert trouble.error is not None
    assert trouble.error["message"] == "card declined"
    assert trouble.at == (await run.status()).ended_at


async def test_a_failed_run_whose_last_record_is_damaged_is_told_and_does_not_keep_others_from_being_told(stage: Stage) -> None:
    first = await stage.engine(order)
    for name in ("damaged", "healthy"):
        await first.start(order, id=name)
        await stage.until_state(first.run(name), "failed")
    await stage.stop(first)
    stage.sql("update history set error = x'00' where run_id = 'damaged' and kind = 'failed'")

    listener = Listener()
    await stage.engine(order, settings=QUICK, on_trouble=listener)
    await settled(stage)

    assert sorted(listener.kinds) == [("damaged", "failed"), ("healthy", "failed")]
    errors = {one.run_id: one.error for one in listener.told}
    assert errors["damaged"] is not None
    assert "damaged" in errors["damaged"]["message"]


async def test_a_quarantined_run_is_told_once_and_again_if_it_is_resumed_without_a_fix(stage: Stage) -> None:
    first = await stage.engine(reserve_and_hear)
    await stage.until_parked(first, await first.start("hear", id="call"))
    await stage.stop(first)
    listener = Listener()
    engine = await stage.engine(hear, settings=QUICK, on_trouble=listener)
    await engine.run("call").signal("word", "hello")
    await stage.until(lambda: listener.told)
    await settled(stage)
    assert listener.kinds == [("call", "quarantined")]
    assert listener.told[0].error is not None
    assert "reserve" in listener.told[0].error["message"]

    await engine.run("call").resume()
    await stage.until(lambda: len(listener.told) == 2)
    await settled(stage)
    assert listener.kinds == [("call", "quarantined")] * 2


async def test_a_poisoned_run_is_told_although_no_worker_lived_to_see_it_quarantined(stage: Stage) -> None:
    first = await stage.engine()
    run = await first.start("poison", "poison", id="poison")
    await stage.stop(first)
    await die(stage, STRIKES_MOST)
    listener = Listener()
    engine = await stage.engine(poison, settings=QUICK, on_trouble=listener)
    await stage.until_state(engine.run(run.id), "quarantined")
    await stage.until(lambda: listener.told)
    await settled(stage)

    assert listener.kinds == [("poison", "quarantined")]


async def test_what_happened_while_nobody_listened_is_told_to_the_first_who_does(stage: Stage) -> None:
    deaf = await stage.engine(order)
    await stage.until_state(await deaf.start(order, id="order-1"), "failed")
    await stage.stop(deaf)
    listener = Listener()
    await stage.engine(order, settings=QUICK, on_trouble=listener)
    await stage.until(lambda: listener.told)

    assert listener.kinds == [("order-1", "failed")]


async def test_a_callback_that_fails_is_called_again_with_the_same_key_until_it_succeeds(stage: Stage) -> None:
    listener = Listener(fails=3)
    engine = await stage.engine(order, settings=QUICK, on_trouble=listener)
    await engine.start(order, id="order-1")
    await stage.until(lambda: listener.told, skipping=2)
    await settled(stage)

    assert listener.calls == 4
    assert listener.kinds == [("order-1", "failed")]


async def test_a_callback_that_hangs_is_given_up_and_called_again(stage: Stage) -> None:
    calls: list[str] = []

    async def hang_once(trouble: Trouble) -> None:
        calls.append(trouble.key)
        if len(calls) == 1:
            await asyncio.Event().wait()

    engine = await stage.engine(order, settings=replace(QUICK, trouble_seconds=5), on_trouble=hang_once)
    await engine.start(order, id="order-1")
    await stage.until(lambda: len(calls) == 1)
    await stage.until(lambda: len(calls) == 2, skipping=1)
    await settled(stage)

    assert calls == [calls[0]] * 2


async def test_a_callback_that_never_succeeds_is_given_up_after_so_many_tries(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener(fails=1000)
    settings = replace(QUICK, trouble_tries_most=3, trouble_retry_seconds_first=0.01)
    engine = await stage.engine(order, settings=settings, on_trouble=listener)
    await engine.start(order, id="order-1")
    await stage.until(lambda: "given up" in caplog.text, skipping=0.1)
    await settled(stage)

    assert listener.calls == 3
    assert "order-1" in caplog.text


async def test_a_worker_that_dies_before_its_callback_returns_leaves_the_trouble_to_the_next(stage: Stage) -> None:
    begun = asyncio.Event()

    async def never_return(_: Trouble) -> None:
        begun.set()
        await asyncio.Event().wait()

    dying = await stage.engine(order, settings=QUICK, on_trouble=never_return)
    await dying.start(order, id="order-1")
    await begun.wait()
    await stage.kill(dying)
    listener = Listener()
    await stage.engine(order, settings=QUICK, on_trouble=listener)
    await several_sweeps(stage)
    assert not listener.told  # the dead one holds it for a while: it may be alive elsewhere

    await stage.until(lambda: listener.told, skipping=10)
    await settled(stage)
    assert listener.kinds == [("order-1", "failed")]


async def test_what_was_told_is_not_told_by_the_next_worker(stage: Stage) -> None:
    first, second = Listener(), Listener()
    engine = await stage.engine(order, settings=QUICK, on_trouble=first)
    await engine.start(order, id="order-1")
    await stage.until(lambda: first.told)
    await settled(stage)
    await stage.kill(engine)
    await stage.engine(order, settings=QUICK, on_trouble=second)
    stage.skip(days=2)
    await several_sweeps(stage)

    assert not second.told


async def test_of_many_listening_workers_one_is_told_of_each(stage: Stage) -> None:
    listener = Listener()
    engines = [await stage.engine(order, settings=QUICK, on_trouble=listener) for _ in range(3)]
    for number in range(40):
        await engines[number % 3].start(order, id=f"order-{number}")
    await stage.until(lambda: len(listener.told) >= 40)
    await settled(stage)

    assert sorted(listener.kinds) == sorted((f"order-{number}", "failed") for number in range(40))


async def test_an_answer_that_the_store_could_not_note_is_noted_later_and_not_told_again(stage: Stage) -> None:
    listener = Listener()
    engine = await stage.engine(order, settings=QUICK, on_trouble=listener)
    raised = stage.fail(engine, "settle_trouble", StoreUnavailable("busy"), times=3)
    await engine.start(order, id="order-1")
    await stage.until(lambda: len(raised) == 3)
    await settled(stage)

    assert listener.calls == 1


# ── stranded ─────────────────────────────────────────────────────────────────────────────────────────────────────────

Prepare = Callable[[Stage], Awaitable[None]]


async def due_without_a_worker(stage: Stage) -> None:
    client = await stage.engine(order)
    await client.start("hear", id="call")
    await stage.stop(client)


async def owned_by_a_dead_worker(stage: Stage) -> None:
    dying = await stage.engine(hear, settings=replace(CALM, linger_seconds=60.0))
    run = await dying.start(hear, id="call")
    await stage.until(lambda: run.id in dying.worker.live)
    await stage.kill(dying)


@pytest.mark.parametrize("prepare", [due_without_a_worker, owned_by_a_dead_worker])
async def test_f64_a_run_that_no_live_worker_knows_is_told_once_after_a_while(stage: Stage, prepare: Prepare) -> None:
    listener = Listener()
    settings = replace(QUICK, stranded_seconds=300, stranded_look_seconds=0)
    await prepare(stage)
    await stage.engine(order, settings=settings, on_trouble=listener)
    await several_sweeps(stage)
    assert not listener.told  # a deploy takes a moment, too

    stage.skip(301)
    await stage.until(lambda: listener.told)
    await several_sweeps(stage)
    stage.skip(hours=5)
    await several_sweeps(stage)
    assert listener.kinds == [("call", "stranded")]
    assert listener.told[0].error is None


async def test_a_run_that_was_taken_in_time_is_not_told(stage: Stage) -> None:
    listener = Listener()
    await owned_by_a_dead_worker(stage)
    settings = replace(QUICK, stranded_look_seconds=0)
    await stage.engine(order, settings=settings, on_trouble=listener)
    await stage.until(lambda: stage.sql("select 1 from troubles"))
    taker = await stage.engine(hear, settings=QUICK)
    await stage.until_parked(taker, taker.run("call"))
    await stage.stop(taker)
    stage.skip(400)
    await stage.until(lambda: not stage.sql("select 1 from troubles"))
    await several_sweeps(stage)

    assert not listener.told


async def test_a_run_that_is_stranded_a_second_time_is_told_a_second_time(stage: Stage) -> None:
    listener = Listener()
    settings = replace(QUICK, stranded_look_seconds=0)
    await due_without_a_worker(stage)
    await stage.engine(order, settings=settings, on_trouble=listener)
    stage.skip(301)
    await stage.until(lambda: len(listener.told) == 1)
    taker = await stage.engine(hear, settings=QUICK)
    await stage.until_parked(taker, taker.run("call"))
    await stage.until(lambda: not stage.sql("select 1 from troubles"))
    await stage.stop(taker)
    client = await stage.client()
    await client.run("call").signal("word", "hello")
    stage.skip(301)
    await stage.until(lambda: len(listener.told) == 2)

    assert listener.told[0].key != listener.told[1].key


async def test_no_more_are_noted_at_a_time_than_anybody_reads(stage: Stage) -> None:
    listener = Listener()
    client = await stage.engine(order)
    for number in range(30):
        await client.start("hear", id=f"call-{number}")
    await stage.stop(client)
    settings: Settings = replace(QUICK, stranded_look_seconds=0, stranded_most=10)
    await stage.engine(order, settings=settings, on_trouble=listener)
    stage.skip(301)
    await stage.until(lambda: len(listener.told) == 10)
    await several_sweeps(stage)

    assert len(listener.told) == 10


async def test_troubles_that_nobody_asks_for_are_forgotten_after_three_days(stage: Stage) -> None:
    engine = await stage.engine(order)
    await stage.until_state(await engine.start(order, id="old"), "failed")
    stage.skip(days=4)
    await stage.until_state(await engine.start(order, id="new"), "failed")

    assert stage.sql("select run_id from troubles") == [("new",)]


async def test_a_trouble_is_noted_in_the_transaction_that_ends_the_run(stage: Stage) -> None:
    seen: list[Any] = []

    def look() -> None:
        if stage.commits.would_find("select 1 from runs where state = 'failed'"):
            seen.append(stage.commits.would_find("select 1 from troubles where kind = 'failed'"))

    engine = await stage.engine(order)
    stage.commits.before = look
    await stage.until_state(await engine.start(order, id="order-1"), "failed")

    assert seen
    assert all(seen)
