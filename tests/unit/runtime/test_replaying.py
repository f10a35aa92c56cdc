"""The verdict on a history: it matches, it diverges and where, what has changed, and how the code ends otherwise."""

import asyncio
from dataclasses import replace
from typing import Any

from perdure import receive, step, workflow
from perdure.authoring.workflow import Workflow
from perdure.codec.exports import read_export, write_export
from perdure.model.histories import History
from perdure.model.records import Record, RecordKind
from perdure.model.runs import AttemptRow
from perdure.model.states import RunState
from perdure.runtime.replaying import DEADLOCK, replay
from tests.driving import VirtualEngine


@step
async def reserve(item: str) -> str:
    return item


@step
async def charge(amount: int, currency: str = "EUR") -> int:
    return amount


@step
async def ship(item: str) -> str:
    return item


def flow(function: Any) -> Workflow[..., Any]:
    return workflow(name="flow")(function)


@flow
async def original(item: str = "book") -> str:
    await reserve(item)
    await charge(5)
    await receive("paid")
    return await ship(item)


def recorded(of: Workflow[..., Any], *signals: Any, state: RunState = RunState.WAITING, **more: Any) -> History:
    with VirtualEngine(of, signals=signals).run() as engine:
        history = History(
            "run-1", of.name, state, 0, engine.payload, b"seed", "3.11", False, 0, engine.execution.issued, 0, tuple(engine.history), ()
        )
        return replace(history, **more)


def with_end(history: History, kind: RecordKind, state: RunState, **payload: bytes) -> History:
    last = history.records[-1]
    return replace(history, state=state, records=(*history.records, Record(last.position + 1, last.at, kind, history.workflow, **payload)))


COMPLETED = with_end(recorded(original, (9, "paid", 1)), RecordKind.COMPLETED, RunState.COMPLETED, output=b'"book"')


def test_unchanged_code_matches_and_nothing_is_said() -> None:
    verdict = replay(original, recorded(original))
    assert verdict.is_ok
    assert (verdict.difference, verdict.refused, verdict.ends, verdict.changed) == (None, None, None, ())


def test_a_history_that_went_through_a_file_gives_the_same_verdict() -> None:
    assert replay(original, read_export(write_export(recorded(original)))).is_ok


def test_a_difference_is_told_in_the_words_of_the_quarantine() -> None:
    @flow
    async def changed(item: str = "book") -> str:
        await charge(5)
        await reserve(item)
        return await receive("paid", str)

    verdict = replay(changed, recorded(original))
    assert not verdict.is_ok
    assert verdict.difference == "command 0: the history holds step 'reserve' (record 2), the code now asks for 'charge'"


def test_a_workflow_that_fails_too_early_tells_with_what() -> None:
    @flow
    async def changed(item: str = "book") -> str:
        await reserve(item)
        raise KeyError("rate")

    verdict = replay(changed, recorded(original))
    assert verdict.difference is not None
    assert verdict.difference.endswith("the code has asked for 1 steps so far; the workflow has failed by then, with KeyError: 'rate'")


def test_what_was_issued_without_a_record_must_be_asked_for_again() -> None:
    issued = replace(recorded(original), issued=3)
    said = "the run had asked for 3 steps when it was last put down; the code now asks for 2 with the same history"
    assert replay(original, issued).difference == said


def test_a_step_between_two_tries_must_be_asked_for_again() -> None:
    retrying = replace(recorded(original), attempts=(AttemptRow(2, "ship", b"", 1, 0, 9, None, None),))
    assert replay(original, retrying).difference == "command 2: step 'ship' was under way, the code now asks for nothing"


def test_changed_arguments_stand_and_are_told_by_parameter() -> None:
    @flow
    async def changed(item: str = "book") -> str:
        await reserve("pen")
        await charge(5, "USD")
        return await receive("paid", str)

    history = recorded(original)
    history = replace(
        history,
        records=tuple(one._replace(input=b'{"item":"book"}' if one.name == "reserve" else b'{"amount":5}') for one in history.records),
    )
    verdict = replay(changed, history)
    assert verdict.is_ok
    assert [str(one) for one in verdict.changed] == [
        'command 0, step \'reserve\' (record 2): its recorded outcome stands, but item was "book" and is now "pen"',
        "command 1, step 'charge' (record 3): its recorded outcome stands, but currency = \"USD\" is new",
    ]


def test_an_input_that_does_not_fit_any_more_is_told_also_of_a_run_that_has_not_begun() -> None:
    @flow
    async def changed(item: int) -> str:
        return await receive("paid", str)

    pending = replace(recorded(original), input=b'{"item":"book"}', records=(), issued=0, state=RunState.PENDING)
    refused = replay(changed, pending).refused
    assert refused is not None
    assert refused.startswith("its input does not fit the code any more: workflow flow: item")
    assert replay(original, pending).is_ok


def test_a_waiting_run_that_would_end_at_once_is_told_with_its_end() -> None:
    @flow
    async def changed(item: str = "book") -> str:
        await reserve(item)
        await charge(5)
        raise ValueError("no such item")

    verdict = replay(changed, recorded(original))
    assert verdict.is_ok
    assert verdict.ends == "it was recorded to wait, with this code it failed with builtins.ValueError: no such item at once"


def test_the_end_of_a_run_that_had_work_under_way_is_no_news() -> None:
    @flow
    async def changed(item: str = "book") -> str:
        await reserve(item)
        return f"done {await charge(5)}"

    assert replay(changed, recorded(original, state=RunState.RUNNING)).ends is None


def test_an_ended_run_that_ends_alike_matches() -> None:
    assert replay(original, COMPLETED) == replay(original, recorded(original))


def test_an_ended_run_that_would_end_otherwise_is_told_with_both_ends() -> None:
    @flow
    async def longer(item: str = "book") -> str:
        await original.function(item)
        await asyncio.sleep(5)
        return await reserve(item)

    @flow
    async def other(item: str = "book") -> str:
        return f"{await original.function(item)}!"

    assert replay(longer, COMPLETED).ends == 'it returned "book", with this code it goes on'
    assert replay(other, COMPLETED).ends == 'it returned "book", with this code it returned "book!"'


def test_an_ended_run_is_compared_by_its_failure() -> None:
    @flow
    async def fails(item: str = "book") -> str:
        await reserve(item)
        raise ValueError("no")

    failed = with_end(recorded(fails), RecordKind.FAILED, RunState.FAILED, error=b'{"type":"builtins.ValueError","message":"no"}')
    assert replay(fails, failed).ends is None
    other = with_end(recorded(fails), RecordKind.FAILED, RunState.FAILED, error=b'{"type":"builtins.KeyError","message":"no"}')
    assert replay(fails, other).ends == "it failed with builtins.KeyError: no, with this code it failed with builtins.ValueError: no"


def test_a_history_with_a_gap_is_told() -> None:
    history = recorded(original)
    gap = replace(history, records=history.records[:1] + history.records[2:])
    assert replay(original, gap).difference == "run run-1: record 3 follows record 1"


def test_a_workflow_that_would_wait_for_nothing_that_can_come_is_told() -> None:
    @flow
    async def stuck(item: str = "book") -> str:
        await reserve(item)
        await charge(5)
        await asyncio.Event().wait()
        return item

    assert replay(stuck, recorded(original)).difference == DEADLOCK
    unrecorded = replace(recorded(original), records=(), issued=0)
    assert replay(stuck, unrecorded).is_ok


def test_nothing_of_a_replay_is_left_and_nothing_begins() -> None:
    ran: list[str] = []

    @step(name="ship")
    async def tells(item: str) -> str:
        ran.append(item)
        return item

    @flow
    async def ends_with(item: str = "book") -> str:
        await reserve(item)
        await charge(5)
        try:
            return await tells(item)
        finally:
            await tells("again")

    assert replay(ends_with, recorded(original)).is_ok
    assert ran == []
