"""The live view: lines for a pipe, a table for a terminal, drawn from what the worker reports."""

import io
from typing import Any

import pytest
from rich.console import Console

from perdure.cli.live_table import LiveTable
from perdure.cli.live_view import Lines, doing, totals


def run(id: str = "order-17", status: str = "waiting", **more: Any) -> dict[str, Any]:
    return {"id": id, "workflow": "fulfil", "status": status, "steps": [], "waits": [], "errors": []} | more


def report(*runs: dict[str, Any], **counts: int) -> dict[str, Any]:
    return {"counts": counts, "runs": list(runs)}


def test_a_run_is_told_by_its_steps_its_waits_and_its_errors() -> None:
    assert doing(run(steps=["charge (attempt 2)"], waits=["signal 'paid'"])) == "step charge (attempt 2); signal 'paid'"
    assert doing(run(waits=["timer"], errors=["OSError: no courier"])) == "timer (OSError: no courier)"
    assert doing(run(errors=["OSError: no courier"])) == "OSError: no courier"


def test_stored_text_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in doing(run(errors=["\x1b[2Jgone"]))


def test_totals_name_the_states_that_have_runs() -> None:
    assert totals(report(waiting=3, failed=1, completed=0)) == "3 waiting, 1 failed"
    assert totals({}) == "no runs yet"


def test_lines_are_printed_for_changes_only(capsys: pytest.CaptureFixture[str]) -> None:
    view = Lines()
    view.show(report(run(waits=["signal 'paid'"]), waiting=1))
    first = capsys.readouterr().out
    view.show(report(run(waits=["signal 'paid'"]), waiting=1))
    again = capsys.readouterr().out
    view.show(report(completed=1))

    assert first == "order-17 (fulfil): waiting  signal 'paid'\nruns: 1 waiting\n"
    assert again == ""
    assert capsys.readouterr().out == "order-17: ended\nruns: 1 completed\n"


def test_the_table_shows_every_run_what_is_wrong_and_how_many_do_not_fit() -> None:
    out = io.StringIO()
    table = LiveTable(Console(file=out, width=120, height=12, force_terminal=True, color_system=None))
    table.show(report(*(run(f"order-{number}", waits=["signal 'paid'"]) for number in range(9)), waiting=9))
    table.problem("SyntaxError: invalid syntax")
    table.line("a line of the worker")
    table.close()

    shown = out.getvalue()
    assert "order-0" in shown
    assert "… 5 more" in shown
    assert "SyntaxError" in shown
    assert "a line of the worker" in shown
    assert "9 waiting" in shown
