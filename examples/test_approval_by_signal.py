"""The approval: answered at once, after a reminder, by the next in the chain, by nobody."""

from datetime import UTC, datetime, timedelta

from examples.approval_by_signal import Decision, Expense, approve_expense, ask, pay_out
from perdure import testing
from perdure.testing import Signal

CHAIR = Expense("1", 900, "a chair")
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
YES = Decision(approved=True, by="manager")


async def test_an_answer_is_acted_upon() -> None:
    async with testing.engine([approve_expense]) as engine:
        run = await engine.start(approve_expense, CHAIR)
        await run.signal("decision", YES)
        assert await run.result() == YES
        assert [call.arguments["decision"] for call in engine.calls(pay_out)] == [YES]


async def test_who_does_not_answer_is_reminded_every_day_and_then_the_next_is_asked() -> None:
    async with testing.engine([approve_expense], start=MONDAY) as engine:
        run = await engine.start(approve_expense, CHAIR)
        engine.at(timedelta(days=4, hours=2), run.signal, "decision", Decision(approved=False, by="director", why="we have chairs"))
        assert (await engine.finish(run)).by == "director"
        asked = [(call.at - MONDAY, call.arguments["who"], call.arguments["is_reminder"]) for call in engine.calls(ask)]
        assert asked == [
            (timedelta(days=0), "manager", False),
            (timedelta(days=1), "manager", True),
            (timedelta(days=2), "manager", True),
            (timedelta(days=3), "director", False),
            (timedelta(days=4), "director", True),
        ]
        assert not engine.calls(pay_out)


async def test_where_nobody_answers_it_is_rejected_after_six_days() -> None:
    async with testing.engine([approve_expense], start=MONDAY) as engine:
        decision = await engine.finish(await engine.start(approve_expense, CHAIR))
        assert (decision.approved, decision.by) == (False, "nobody")
        assert engine.now == MONDAY + timedelta(days=6)


async def test_its_status_says_who_is_asked_and_until_when() -> None:
    async with testing.engine([approve_expense], start=MONDAY) as engine:
        run = await engine.start(approve_expense, CHAIR)
        await engine.skip(days=3, hours=1)
        assert (await run.status()).note == "director was asked, until 08 March 09:00"


async def test_wherever_the_process_is_killed_the_decision_is_the_same() -> None:
    report = await testing.crash_everywhere(approve_expense, CHAIR, signals=[Signal("decision", YES, after=timedelta(days=1, hours=5))])
    assert report.ending.result.approved


async def test_an_answer_counts_whenever_it_comes_before_the_end() -> None:
    for ending in await testing.every_order(approve_expense, CHAIR, signals=[Signal("decision", YES)]):
        came_in_time = "signal decision" in ending.order
        assert ending.result.approved == came_in_time
