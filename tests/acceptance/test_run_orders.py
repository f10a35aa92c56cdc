"""`perdure run cancel|pause|resume|retry|delete`: what they print, how they exit; one that is refused keeps no other from being done."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from perdure import Engine, receive, step, workflow
from perdure.cli.main import perform
from perdure.errors import RunFailed

is_broken = True


@step
async def charge() -> str:
    if is_broken:
        raise ValueError("the bank is down")
    return "charged"


@workflow
async def fulfil() -> str:
    return await charge()


@workflow
async def wait() -> Any:
    return await receive("word")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def call(url: str, capsys: pytest.CaptureFixture[str]) -> Any:
    """A command in this process: exit status, standard output, standard error."""
    perform(["db", "migrate", "--store", url, "-q"])
    capsys.readouterr()

    def called(*arguments: str) -> tuple[int, str, str]:
        status = perform(["run", *arguments, "--store", url])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return called


def played(url: str, *run_ids: str) -> None:
    """A worker that runs these runs to their end."""

    async def play() -> None:
        async with Engine(url, [fulfil, wait]) as engine:
            for run_id in run_ids:
                try:
                    await engine.run(run_id).result(30)
                except RunFailed:
                    continue  # as some of them are meant to

    asyncio.run(play())


def state(call: Any, run_id: str) -> str:
    return str(json.loads(call("show", run_id, "-o", "json")[1])["status"])


def test_a_run_is_cancelled_and_shown_so_and_a_repeat_changes_nothing(call: Any) -> None:
    call("start", "wait", "--id", "order-1")

    first = call("cancel", "order-1", "-o", "json")
    again = call("cancel", "order-1", "--grace", "5s")

    assert (first[0], json.loads(first[1])) == (0, {"id": "order-1", "status": "cancelled"})
    assert again[:2] == (0, "id\torder-1\nstatus\tcancelled\n")
    assert call("wait", "order-1")[0] == 1


def test_a_run_is_paused_and_resumed(call: Any) -> None:
    call("start", "wait", "--id", "order-1")

    assert call("pause", "order-1", "-q")[:2] == (0, "order-1\n")
    assert state(call, "order-1") == "paused"
    assert call("resume", "order-1")[0] == 0
    assert state(call, "order-1") == "waiting"


def test_a_failed_run_is_retried_after_a_repair(call: Any, url: str) -> None:
    global is_broken
    is_broken = True
    call("start", "fulfil", "--id", "order-1")
    played(url, "order-1")
    assert state(call, "order-1") == "failed"
    is_broken = False

    retried = call("retry", "order-1", "-o", "json")
    played(url, "order-1")

    assert (retried[0], json.loads(retried[1])["status"]) == (0, "waiting")
    assert json.loads(call("wait", "order-1")[1]) == "charged"
    refused, _, err = call("retry", "order-1")
    assert refused == 4
    assert "only a failed run can be retried" in err


def test_the_history_of_a_retried_run_says_which_generation_recorded_what(call: Any, url: str) -> None:
    global is_broken
    is_broken = True
    call("start", "fulfil", "--id", "order-1")
    played(url, "order-1")
    once = call("history", "order-1", "-o", "table")[1]
    is_broken = False
    call("retry", "order-1")
    played(url, "order-1")

    _, lines, _ = call("history", "order-1", "-o", "jsonl")
    twice = call("history", "order-1", "-o", "table")[1]

    assert [(one["generation"], one["position"], one["kind"]) for one in map(json.loads, lines.splitlines())] == [
        *((0, 1, "started"), (0, 2, "step_failed"), (0, 3, "failed")),
        *((1, 2, "step"), (1, 3, "completed")),
    ]
    assert "GENERATION" not in once
    assert twice.splitlines()[0].split()[:2] == ["GENERATION", "POSITION"]
    assert [line.split()[:2] for line in twice.splitlines()[1:]] == [["0", "1"], ["0", "2"], ["0", "3"], ["1", "2"], ["1", "3"]]


def test_a_run_is_deleted_when_it_has_ended_and_not_before(call: Any) -> None:
    call("start", "wait", "--id", "order-1")

    early, out, err = call("delete", "order-1")
    call("cancel", "order-1")
    late = call("delete", "order-1", "-o", "json")

    assert (early, out) == (4, "")
    assert "`perdure run cancel` it first" in err
    assert (late[0], json.loads(late[1])) == (0, {"id": "order-1", "status": "deleted"})
    assert call("show", "order-1")[0] == 3
    assert call("delete", "order-1")[0] == 3


def test_many_runs_are_done_and_those_refused_are_told_each(call: Any) -> None:
    for number in (1, 2, 3):
        call("start", "wait", "--id", f"order-{number}")
    call("cancel", "order-2")

    status, out, err = call("pause", "order-1", "order-2", "nobody", "order-3", "order-3", "-o", "json")

    assert status == 4
    assert json.loads(out) == [{"id": "order-1", "status": "paused"}, {"id": "order-3", "status": "paused"}]
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [
        "error: run order-2 has ended (cancelled) and cannot be paused",
        "error: there is no run 'nobody' in namespace 'default'",
    ]


def test_ids_may_come_from_standard_input_one_a_line(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        call("start", "wait", "--id", f"order-{number}")
    listed = call("list", "-q", "--status", "pending")[1]
    monkeypatch.setattr("sys.stdin", io.StringIO(listed + "\n"))

    status, out, _ = call("cancel", "-", "-o", "jsonl")

    assert status == 0
    assert {json.loads(line)["id"] for line in out.splitlines()} == {"order-1", "order-2"}
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert call("cancel", "-") == (0, "", "")  # nothing to do is done


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry", "delete"])
def test_every_verb_refuses_what_is_not_there_and_what_was_not_said(call: Any, verb: str) -> None:
    assert call(verb, "nobody")[0] == 3
    assert call(verb)[0] == 2
    assert call(verb, "")[0] == 2
    help_text = call(verb, "--help")[1]
    assert "Examples:" in help_text
    assert f"perdure run {verb}" in help_text


def test_a_grace_that_is_no_duration_is_refused_and_nothing_changes(call: Any) -> None:
    call("start", "wait", "--id", "order-1")

    status, _, err = call("cancel", "order-1", "--grace", "soon")

    assert status == 2
    assert "no duration" in err
    assert state(call, "order-1") == "pending"
