"""perdure.testing: crash_everywhere kills a run at every record, every_order sends signals at every moment."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import Retry, info, receive, step, testing, workflow
from perdure.errors import StepOutcomeUnknown
from perdure.testing import CrashDifference, Ending, Signal, VirtualEngine, crash_everywhere, every_order

PAID = Signal("paid", "card", after=3600)
bank: list[str] = []
keys: set[str] = set()


@step
async def reserve(order: str) -> str:
    return f"reserved {order}"


@step(retry=Retry(initial=60))
async def charge(order: str) -> str:
    """Charges twice when it runs twice."""
    bank.append(order)
    return "charged"


@step
async def charge_once(order: str) -> str:
    keys.add(info().idempotency_key or "")
    return "charged"


@step(at_most_once=True)
async def charge_perhaps(order: str) -> str:
    bank.append(order)
    return "charged"


@step
def ship(order: str) -> str:
    return f"shipped {order}"


@workflow
async def fulfil(order: str) -> str:
    await reserve(order)
    try:
        async with asyncio.timeout(48 * 3600):
            paid = await receive("paid", str)
    except TimeoutError:
        return "expired"
    await charge_once(order)
    await asyncio.sleep(10)
    return f"{paid}: {await ship(order)}"


def fresh_bank(_engine: VirtualEngine) -> Callable[[], list[str]]:
    bank.clear()
    keys.clear()
    return lambda: sorted(bank) + sorted(keys)


# ── crashes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_sound_workflow_is_killed_before_and_after_each_of_its_records_and_ends_the_same() -> None:
    report = await crash_everywhere(fulfil, "A", signals=[PAID], prepare=fresh_bank)
    assert report.ending.result == "card: shipped A"
    assert len(report.kills) == 2 * len(report.ending.history) == 14
    assert report.kills[:3] == (
        "killed before record 1 (started fulfil) was on disk",
        "killed after record 1 (started fulfil) was on disk",
        "killed before record 2 (step reserve) was on disk",
    )


async def test_the_same_is_found_with_the_store_in_a_file_that_is_opened_anew_after_each_kill(tmp_path: Path) -> None:
    report = await crash_everywhere(fulfil, "A", signals=[PAID], prepare=fresh_bank, folder=tmp_path)
    assert len(report.kills) == 14
    assert len(list(tmp_path.glob("*/store.db"))) == 15


async def test_every_kill_is_a_kill() -> None:
    """Each play has the steps run again that were not recorded when it was killed, and no others."""
    calls: list[list[str]] = []

    def noting(engine: VirtualEngine) -> Callable[[], None]:
        def effects() -> None:
            calls.append([call.step for call in engine.calls()])

        return effects

    await crash_everywhere(fulfil, "A", signals=[PAID], prepare=noting)
    undisturbed, *killed = calls
    repeated = [sorted(steps[len(undisturbed) :] and {one for one in steps if steps.count(one) > 1}) for steps in killed]
    assert repeated == [
        ["reserve"] if index == 2 else ["charge_once"] if index == 6 else ["ship"] if index == 10 else [] for index in range(14)
    ]


async def test_a_step_that_charges_twice_when_it_runs_twice_is_found() -> None:
    @workflow
    async def pays(order: str) -> str:
        await reserve(order)
        return await charge(order)

    with pytest.raises(CrashDifference) as found:
        await crash_everywhere(pays, "A", prepare=fresh_bank)
    assert found.value.differences == (
        "killed before record 3 (step charge) was on disk: its effects are ['A', 'A']; undisturbed, they are ['A'] "
        "(step charge ran twice: give the other side info().idempotency_key)",
    )


async def test_workflow_code_that_acts_outside_of_a_step_is_found() -> None:
    @workflow
    async def acts(order: str) -> str:
        bank.append(order)
        return await reserve(order)

    with pytest.raises(CrashDifference, match=r"killed after record 2 .* but workflow code is replayed: put what has effects into a step"):
        await crash_everywhere(acts, "A", prepare=fresh_bank)


async def test_workflow_code_that_does_not_replay_is_found_and_told_readably() -> None:
    known: set[str] = set()

    @workflow
    async def remembers(order: str) -> str:
        if order not in known:
            known.add(order)
            await reserve(order)
        return await charge_once(order)

    with pytest.raises(CrashDifference) as found:
        await crash_everywhere(remembers, "A", prepare=lambda _engine: known.clear())
    text = str(found.value)
    assert text.startswith("workflow remembers: 4 of 8 kills made a difference\n- killed after record 2 (step reserve) was on disk: ")
    assert "quarantined" in text
    assert "the history holds step 'reserve' (record 2), the code now asks for 'charge_once'; undisturbed, it returned 'charged'" in text


async def test_failed_attempts_and_intents_are_places_to_die_too() -> None:
    @workflow
    async def pays(order: str) -> str:
        await charge(order)
        return await charge_perhaps(order)

    def failing_once(engine: VirtualEngine) -> None:
        engine.fake(charge, lambda order: "charged" if (info().attempt or 0) > 1 else unreachable())

    report = await crash_everywhere(pays, "A", prepare=failing_once, accept=lambda ending: isinstance(ending.error, StepOutcomeUnknown))
    assert "killed before failed attempt 1 of step charge was on disk" in report.kills
    assert "killed after the intent of step charge_perhaps was on disk" in report.kills


def unreachable() -> str:
    raise OSError("no route")


async def test_an_at_most_once_step_whose_outcome_is_unknown_ends_otherwise_unless_that_is_accepted() -> None:
    @workflow
    async def pays(order: str) -> str:
        return await charge_perhaps(order)

    with pytest.raises(CrashDifference, match="it failed with StepOutcomeUnknown"):
        await crash_everywhere(pays, "A")
    await crash_everywhere(pays, "A", accept=lambda ending: isinstance(ending.error, StepOutcomeUnknown))


async def test_a_step_under_way_when_its_process_is_killed_stops_where_it_stands_without_cleaning_up() -> None:
    @workflow
    async def both(order: str) -> list[str]:
        return list(await asyncio.gather(reserve(order), charge_once(order)))

    def slow_reservation(engine: VirtualEngine) -> Callable[[], list[str]]:
        cleaned: list[str] = []

        async def slow(order: str) -> str:
            try:
                await engine.elapse(60)
            except BaseException:
                cleaned.append(order)
                raise
            return order

        engine.fake(reserve, slow)
        return lambda: list(cleaned)

    report = await crash_everywhere(both, "A", prepare=slow_reservation)
    assert report.ending.result == ["A", "charged"]
    assert "killed after record 2 (step charge_once) was on disk" in report.kills


async def test_a_run_that_does_not_end_undisturbed_is_refused_with_what_it_waits_for() -> None:
    @workflow
    async def waits() -> None:
        await receive("answer")

    with pytest.raises(testing.NotEnded, match=r"waits for: signal 'answer'.*signals=\[Signal"):
        await crash_everywhere(waits)


async def test_a_failing_workflow_fails_the_same_way_wherever_it_is_killed() -> None:
    @workflow
    async def fails(order: str) -> None:
        await reserve(order)
        raise LookupError(order)

    report = await crash_everywhere(fails, "A")
    assert isinstance(report.ending.error, LookupError)


async def test_what_a_transactional_step_writes_is_there_once_wherever_it_is_killed() -> None:
    @step(transaction=True)
    def book(db: Any, order: str) -> int:
        db.execute("insert into bookings values (?)", (order,))
        return len(list(db.execute("select * from bookings")))

    @workflow
    async def books(order: str) -> int:
        await reserve(order)
        return await book(order)

    def ledger(engine: VirtualEngine) -> Callable[[], object]:
        engine.sql("create table bookings (text)")
        return lambda: engine.sql("select * from bookings")

    report = await crash_everywhere(books, "A", prepare=ledger)
    assert (report.ending.result, report.ending.effects) == (1, [("A",)])
    assert report.ending.calls[-1].arguments == {"order": "A"}


async def test_a_transactional_step_can_be_faked() -> None:
    @step(transaction=True)
    def book(db: Any, order: str) -> int:
        raise RuntimeError

    @workflow
    async def books(order: str) -> int:
        return await book(order)

    async with testing.engine([books], real_steps=False) as engine:
        engine.fake(book, len)
        assert await (await engine.start(books, "ABC")).result() == 3
        with pytest.raises(ValueError, match="no time passes"):
            engine.fake(book, 3, takes=1)


async def test_a_step_may_start_runs_of_other_workflows() -> None:
    @workflow
    async def ships(order: str) -> str:
        return await ship(order)

    @workflow
    async def orders(order: str) -> str:
        return await reserve(order)

    def shop(engine: VirtualEngine) -> Callable[[], object]:
        started: set[str] = set()

        async def start_shipping(order: str) -> str:
            started.add((await engine.start(ships, order, id=f"ship-{order}")).id)
            return order

        engine.fake(reserve, start_shipping)
        return lambda: started

    report = await crash_everywhere(orders, "A", prepare=shop, others=[ships])
    assert report.ending.effects == {"ship-A"}


async def test_more_kills_than_allowed_are_refused() -> None:
    with pytest.raises(ValueError, match="kills_most"):
        await crash_everywhere(fulfil, "A", signals=[PAID], kills_most=5)


# ── orders ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_signal_is_sent_in_every_order_with_steps_and_timers() -> None:
    endings = await every_order(fulfil, "A", signals=[PAID])
    assert {(ending.order[1:4], ending.result) for ending in endings} == {
        (("signal paid", "step reserve", "step charge_once"), "card: shipped A"),
        (("step reserve", "signal paid", "step charge_once"), "card: shipped A"),
        (("step reserve", "timer", "completed"), "expired"),
    }
    assert len(endings) == 3


async def test_a_race_that_the_code_loses_is_found() -> None:
    @workflow
    async def two_minds(order: str) -> str:
        """Takes the refund for granted once the time is over."""
        try:
            async with asyncio.timeout(60):
                return await receive("paid", str)
        except TimeoutError:
            await reserve("refund")
            async with asyncio.timeout(60):
                return await receive("paid", str)

    endings = await every_order(two_minds, "A", signals=[Signal("paid", "card")])
    assert [ending.order for ending in endings if "timer" in ending.order and ending.result == "card"] == [
        ("started", "timer", "step reserve", "signal paid", "completed"),
        ("started", "timer", "signal paid", "step reserve", "completed"),
    ]
    assert sum(isinstance(ending.error, TimeoutError) for ending in endings) == 1


async def test_two_signals_come_in_either_order_and_are_never_left_unsent_while_a_run_waits() -> None:
    @workflow
    async def first_word() -> str:
        topic, _ = await receive({"yes": str, "no": str})
        return topic

    endings = await every_order(first_word, signals=[Signal("yes", ""), Signal("no", "")])
    assert sorted(ending.result for ending in endings) == ["no", "yes"]
    assert all(isinstance(ending, Ending) for ending in endings)


async def test_steps_that_are_under_way_together_end_in_every_order_if_asked() -> None:
    @workflow
    async def first_of_three() -> str:
        asked = [asyncio.create_task(reserve(name)) for name in "abc"]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    endings = await every_order(first_of_three, orders_steps=True)
    assert [ending.result for ending in endings] == ["reserved a", "reserved b", "reserved c"]
    assert [ending.result for ending in await every_order(first_of_three)] == ["reserved a"]


async def test_a_step_that_fails_takes_its_turn_like_all_others() -> None:
    @workflow
    async def both(order: str) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(charge(order))
            group.create_task(ship(order))
        return "both"

    def broken_bank(engine: VirtualEngine) -> None:
        engine.fake(charge, ValueError("no money"))
        engine.fake(ship, "shipped")

    endings = await every_order(both, "A", orders_steps=True, prepare=broken_bank)
    assert [ending.order[1:-1] for ending in endings] == [("step_failed charge",), ("step ship", "step_failed charge")]
    assert {type(ending.error) for ending in endings} == {ExceptionGroup}


async def test_more_orders_than_allowed_are_refused() -> None:
    with pytest.raises(ValueError, match="orders_most"):
        await every_order(fulfil, "A", signals=[PAID, PAID, PAID], orders_most=10)
