"""The table at the end of the demo."""

import io

from perdure.demo.findings import Check, Findings, Loss
from perdure.demo.report import show_report
from perdure.demo.screen import Screen


def reported(*checks: Check) -> str:
    out = io.StringIO()
    losses = (Loss(14, 5, 0.8), Loss(3, 0, None))
    show_report(Screen(out), Findings(checks, losses, calls=60, busy=20, asked_again=4, bodies=150, recorded=130))
    return out.getvalue()


def test_a_promise_that_held_is_marked_ok() -> None:
    assert "BROKEN" not in reported(Check("approved requests without an order", 0, 0))


def test_a_broken_promise_is_named_with_examples() -> None:
    text = reported(Check("approved requests without an order", 0, 7, tuple(f"PR-{number}" for number in range(7))))

    assert "BROKEN: PR-0, PR-1, PR-2, PR-3, PR-4 and 2 more" in text


def test_each_kill_has_a_line_with_what_it_cost() -> None:
    lines = [line.split() for line in reported(Check("promise", 0, 0)).splitlines()]

    assert ["1", "14", "5", "0.80", "s"] in lines
    assert ["2", "3", "0", "-"] in lines
