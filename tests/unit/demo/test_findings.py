"""The comparison that decides over the demo's exit status: a broken promise of any kind is found."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from perdure.clock import to_instant
from perdure.demo.findings import Findings, examine
from perdure.demo.killing import Kill
from perdure.demo.ledger import Entry
from perdure.demo.plan import Plan
from perdure.demo.purchasing import Outcome
from perdure.run import RunRecord

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def record(position: int, seconds: float, kind: str, name: str = "", output: object = None) -> RunRecord:
    return RunRecord(position, at(seconds), kind, name, None, output, None, 1)


def history(outcome: str, number: str | None = None, *, is_decided: bool = True) -> list[RunRecord]:
    decision = [record(3, 2, "signal", "decision")] if is_decided else [record(3, 2, "timer")]
    order = [record(4, 3, "step", "place_order", number)] if number else []
    end = {"request": "", "outcome": outcome, "order_number": number}
    return [record(1, 0, "started"), record(2, 1, "step", "check_budget"), *decision, *order, record(6, 5, "completed", output=end)]


def effect(event: str, run: str, step: str, seconds: float, process: int = 10) -> Entry:
    return {"at": to_instant(at(seconds)), "event": event, "run": run, "step": step, "attempt": 1, "key": "k", "process": process}


def order(request: str, number: str, key: str = "") -> list[Entry]:
    about = {"request": request, "key": key or request}
    return [{"event": "attempt", **about}, {"event": "order", "number": number, **about}]


class Story:
    """One demo that went well; tests change what they are about."""

    def __init__(self) -> None:
        outcomes = {"PR-1": Outcome.ORDERED, "PR-2": Outcome.ORDERED, "PR-3": Outcome.REJECTED, "PR-4": Outcome.EXPIRED}
        self.plan = Plan(1, (), (0.5,), outcomes)
        self.orders = [*order("PR-1", "PO-1"), *order("PR-2", "PO-2")]
        self.effects = [effect("begin", "PR-1", "place_order", 2.5), effect("end", "PR-1", "place_order", 2.9)]
        self.histories = {
            "PR-1": history("ordered", "PO-1"),
            "PR-2": history("ordered", "PO-2"),
            "PR-3": history("rejected"),
            "PR-4": history("expired", is_decided=False),
        }
        self.kills = [Kill(to_instant(at(2.2)), 10, ("PR-1",))]

    def examined(self) -> Findings:
        return examine(self.plan, self.orders, self.effects, self.histories, self.kills)

    def broken(self) -> list[str]:
        return [check.promise for check in self.examined().broken]


def test_a_demo_that_went_well_breaks_no_promise() -> None:
    assert Story().broken() == []


def test_a_request_ordered_twice_is_found() -> None:
    story = Story()
    story.orders += order("PR-1", "PO-3", key="another")

    assert "requests ordered more than once" in story.broken()


def test_a_lost_order_is_found() -> None:
    story = Story()
    story.orders = order("PR-1", "PO-1")

    assert "approved requests without an order" in story.broken()


def test_an_order_in_place_of_another_is_found_although_their_number_is_right() -> None:
    story = Story()
    story.orders = [*order("PR-1", "PO-1"), *order("PR-3", "PO-2")]

    assert {"approved requests without an order", "orders that nobody approved"} <= set(story.broken())


def test_a_receipt_with_another_number_than_the_order_is_found() -> None:
    story = Story()
    story.histories["PR-2"] = history("ordered", "PO-9")

    assert story.broken() == ["orders whose number differs from the receipt"]


def test_a_run_that_ended_otherwise_than_decided_is_found() -> None:
    story = Story()
    story.histories["PR-3"] = history("expired")

    assert story.broken() == ["runs that ended as was decided"]


def test_a_run_that_did_not_end_is_found() -> None:
    story = Story()
    story.histories["PR-3"] = story.histories["PR-3"][:-1]

    assert story.broken() == ["runs that ended as was decided"]


def test_a_decision_that_arrived_twice_is_found() -> None:
    story = Story()
    story.histories["PR-3"].insert(3, record(4, 2.5, "signal", "decision"))

    assert story.broken() == ["decisions that arrived exactly once"]


def test_a_step_that_began_again_after_its_record_is_found() -> None:
    story = Story()
    story.effects.append(effect("begin", "PR-1", "place_order", 3.001))

    assert story.broken() == ["steps begun again after their record"]


def test_a_step_that_began_again_before_its_record_is_no_offence() -> None:
    story = Story()
    story.effects.append(effect("begin", "PR-1", "place_order", 2.999))

    assert story.broken() == []


def test_a_kill_that_met_an_idle_worker_does_not_count() -> None:
    story = Story()
    story.kills = [replace(story.kills[0], owned=())]

    assert story.broken() == ["kills of a worker that owned unfinished runs"]


def test_a_kill_costs_the_time_to_the_next_record_of_any_run() -> None:
    story = Story()

    (loss,) = story.examined().losses

    assert (loss.owned, loss.seconds) == (1, 0.8)


def test_a_kill_cuts_off_the_bodies_of_that_process_that_did_not_end() -> None:
    story = Story()
    story.effects += [effect("begin", "PR-2", "notify", 2.1, process=10), effect("begin", "PR-3", "notify", 2.1, process=11)]

    (loss,) = story.examined().losses

    assert loss.cut_off == 1


def test_calls_for_an_order_that_was_booked_already_are_counted() -> None:
    story = Story()
    story.orders += [{"event": "busy", "request": "PR-1", "key": "PR-1"}, {"event": "attempt", "request": "PR-1", "key": "PR-1"}]

    found = story.examined()

    assert (found.calls, found.busy, found.asked_again) == (3, 1, 1)
