"""The data of the demo and what the seed makes of it."""

from collections import Counter
from decimal import Decimal
from fnmatch import fnmatch

import pytest

from perdure.demo.plan import UNDECIDED, load_requests, make_plan
from perdure.demo.purchasing import Outcome, budgets, check_budget

REQUESTS = load_requests()
OVER_BUDGET = frozenset({REQUESTS[3].id, REQUESTS[8].id})


def test_there_are_fifty_different_requests() -> None:
    assert len({one.id for one in REQUESTS}) == len({one.justification for one in REQUESTS}) == 50


def test_every_request_is_complete_and_from_an_example_address() -> None:
    for one in REQUESTS:
        assert fnmatch(one.id, "PR-2026-*")
        assert one.requester.endswith("@example.com")
        assert one.items
        assert all(item.quantity > 0 and item.unit_price > 0 for item in one.items)


def test_every_cost_centre_has_a_budget_in_the_currency_of_its_requests() -> None:
    assert all(budgets()[one.cost_centre]["currency"] == one.currency for one in REQUESTS)


async def test_a_handful_of_requests_is_over_budget() -> None:
    checks = [await check_budget(one) for one in REQUESTS]

    assert 3 <= sum(check.over_by > 0 for check in checks) <= 8
    assert all(check.over_by == max(Decimal(0), one.total - check.left) for one, check in zip(REQUESTS, checks, strict=True))


def test_the_same_seed_makes_the_same_plan_and_another_seed_another() -> None:
    assert make_plan(REQUESTS, OVER_BUDGET, seed=7, kills=6) == make_plan(REQUESTS, OVER_BUDGET, seed=7, kills=6)
    assert make_plan(REQUESTS, OVER_BUDGET, seed=7, kills=6) != make_plan(REQUESTS, OVER_BUDGET, seed=8, kills=6)


@pytest.mark.parametrize("kills", [1, 6, 20])
def test_every_request_is_decided_once_or_left_to_its_deadline(kills: int) -> None:
    plan = make_plan(REQUESTS, OVER_BUDGET, seed=7, kills=kills)
    decided = Counter(planned.request for share in plan.shares for planned in share)

    assert len(plan.kill_after_seconds) == kills
    assert len(plan.shares) == kills + 1
    assert set(decided.values()) == {1}
    assert decided.keys() | plan.undecided == plan.outcomes.keys() == {one.id for one in REQUESTS}
    assert not decided.keys() & plan.undecided
    assert len(plan.undecided) == UNDECIDED


def test_each_life_of_the_worker_has_decisions_to_work_on() -> None:
    assert all(len(share) >= 2 for share in make_plan(REQUESTS, OVER_BUDGET, seed=7, kills=20).shares)


@pytest.mark.parametrize("seed", range(20))
def test_one_request_over_budget_is_approved_and_the_others_are_rejected(seed: int) -> None:
    plan = make_plan(REQUESTS, OVER_BUDGET, seed=seed, kills=6)

    assert sorted(plan.outcomes[one] for one in OVER_BUDGET) == [Outcome.ORDERED, Outcome.REJECTED]


def test_some_decisions_are_sent_twice() -> None:
    plan = make_plan(REQUESTS, OVER_BUDGET, seed=7, kills=6)

    assert any(planned.is_repeated for share in plan.shares for planned in share)
