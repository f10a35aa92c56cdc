"""Compare the order system's ledger and the noted effects with the histories, and say which promises held."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from perdure.clock import Instant, to_instant
from perdure.demo.killing import Kill
from perdure.demo.ledger import Entry
from perdure.demo.plan import Plan
from perdure.demo.purchasing import Outcome
from perdure.run import RunRecord

History = Sequence[RunRecord]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: what must be found and what was."""

    promise: str
    expected: int
    found: int
    examples: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return self.expected == self.found


@dataclass(frozen=True, slots=True)
class Loss:
    """What one kill cost."""

    owned: int
    cut_off: int  # step bodies that were under way
    seconds: float | None  # until the next record of any run; None: there was none


@dataclass(frozen=True, slots=True)
class Findings:
    checks: tuple[Check, ...]
    losses: tuple[Loss, ...]
    calls: int  # to the order system
    busy: int  # answered with 503
    asked_again: int  # calls for an order that was booked already
    bodies: int  # step bodies begun
    recorded: int  # step results recorded

    @property
    def broken(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.holds)


def examine(
    plan: Plan, orders: Sequence[Entry], effects: Sequence[Entry], histories: Mapping[str, History], kills: Sequence[Kill]
) -> Findings:
    """All of it from what is on disk; the supervisor's own memory proves nothing."""
    begun = [one for one in effects if one["event"] == "begin"]
    return Findings(
        checks=(*_order_checks(plan, orders, histories), *_run_checks(plan, begun, histories), _kill_check(plan, kills)),
        losses=tuple(_loss(kill, effects, histories) for kill in kills),
        calls=sum(one["event"] == "attempt" for one in orders),
        busy=sum(one["event"] == "busy" for one in orders),
        asked_again=_asked_again(orders),
        bodies=len(begun),
        recorded=sum(1 for records in histories.values() for one in records if _is_step(one)),
    )


# ── orders ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _order_checks(plan: Plan, orders: Sequence[Entry], histories: Mapping[str, History]) -> Iterable[Check]:
    booked = [one for one in orders if one["event"] == "order"]
    per_request = Counter(one["request"] for one in booked)
    approved = {request for request, outcome in plan.outcomes.items() if outcome is Outcome.ORDERED}
    twice = tuple(request for request, count in per_request.items() if count > 1)
    lost = tuple(sorted(approved - per_request.keys()))
    unwanted = tuple(sorted(per_request.keys() - approved))
    numbers = {one["request"]: one["number"] for one in booked}
    false = tuple(request for request, number in numbers.items() if _receipt(histories.get(request, ())).get("order_number") != number)
    yield Check("orders in the order system's ledger", len(approved), len(booked))
    yield Check("requests ordered more than once", 0, len(twice), twice)
    yield Check("approved requests without an order", 0, len(lost), lost)
    yield Check("orders that nobody approved", 0, len(unwanted), unwanted)
    yield Check("orders whose number differs from the receipt", 0, len(false), false)


def _asked_again(orders: Sequence[Entry]) -> int:
    booked: set[str] = set()
    count = 0
    for one in orders:
        if one["event"] == "order":
            booked.add(one["key"])
        elif one["event"] == "attempt" and one["key"] in booked:
            count += 1
    return count


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _run_checks(plan: Plan, begun: Sequence[Entry], histories: Mapping[str, History]) -> Iterable[Check]:
    otherwise = tuple(sorted(one for one, outcome in plan.outcomes.items() if _receipt(histories.get(one, ())).get("outcome") != outcome))
    decided = {request for request, outcome in plan.outcomes.items() if outcome is not Outcome.EXPIRED}
    received = Counter(request for request, records in histories.items() for one in records if one.kind == "signal")
    not_once = tuple(sorted(request for request in decided if received[request] != 1))
    again = tuple(_begun_after_record(begun, histories))
    yield Check("runs that ended as was decided", len(plan.outcomes), len(plan.outcomes) - len(otherwise), otherwise)
    yield Check("decisions that arrived exactly once", len(decided), len(decided) - len(not_once), not_once)
    yield Check("steps begun again after their record", 0, len(again), again)


def _begun_after_record(begun: Sequence[Entry], histories: Mapping[str, History]) -> Iterable[str]:
    """A record's time is read before it is written, so a body that begins later has no business to."""
    recorded: dict[tuple[str, str], Instant] = {}
    for request, records in histories.items():
        for one in records:
            if _is_step(one):
                recorded.setdefault((request, one.name), to_instant(one.at))  # each step is called once in this workflow
    for body in begun:
        at = recorded.get((body["run"], body["step"]))
        if at is not None and body["at"] > at:
            yield f"{body['run']} {body['step']}"


def _receipt(history: History) -> Mapping[str, object]:
    last = history[-1] if history else None
    return last.output if last is not None and last.kind == "completed" and isinstance(last.output, dict) else {}


def _is_step(record: RunRecord) -> bool:
    return record.kind in ("step", "step_failed")


# ── kills ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _kill_check(plan: Plan, kills: Sequence[Kill]) -> Check:
    at_work = sum(1 for kill in kills if kill.owned)
    return Check("kills of a worker that owned unfinished runs", len(plan.kill_after_seconds), at_work)


def _loss(kill: Kill, effects: Sequence[Entry], histories: Mapping[str, History]) -> Loss:
    later = [at for records in histories.values() for one in records if (at := to_instant(one.at)) > kill.at]
    under_way: Counter[tuple[str, str]] = Counter()
    for one in effects:
        if one["process"] == kill.pid:
            under_way[one["run"], one["step"]] += 1 if one["event"] == "begin" else -1
    return Loss(len(kill.owned), sum(under_way.values()), (min(later) - kill.at) / 1e6 if later else None)
