"""A workflow of whatever shape, crashed wherever, stands after its replay where it would have stood without the crash."""

import gc
import json
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from perdure.errors import NonDeterminism
from perdure.model.records import Record, RecordKind
from tests.driving import Signal, VirtualEngine, new_execution, replay, replays_alike
from tests.property.replay.shapes import Shape, interprets, schedules, shapes, signals

calm = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])


def driven(shape: Shape, given_signals: Sequence[Signal], schedule: int, *, crashes: bool = False) -> VirtualEngine:
    with VirtualEngine(interprets, shape, signals=given_signals, schedule=schedule, crashes=crashes).run() as engine:
        return engine


@calm
@given(shapes, signals, schedules)
def test_every_prefix_of_a_history_replays_to_where_the_run_stood(shape: Shape, given_signals: list[Signal], schedule: int) -> None:
    engine = driven(shape, given_signals, schedule)
    event("ended" if engine.stands[-1].outcome else "waits")
    event(f"{len(engine.history) // 5 * 5} records or more")
    assert replays_alike(engine) == len(engine.history)


@calm
@given(shapes, signals, schedules)
def test_a_run_that_crashes_after_every_checkpoint_does_what_one_does_that_never_crashes(
    shape: Shape, given_signals: list[Signal], schedule: int
) -> None:
    uninterrupted = driven(shape, given_signals, schedule)
    crashing = driven(shape, given_signals, schedule, crashes=True)
    assert crashing.history == uninterrupted.history
    assert crashing.stands == uninterrupted.stands


@calm
@given(shapes, signals, schedules)
def test_a_run_dropped_anywhere_asks_for_nothing_more_and_leaves_no_task(shape: Shape, given_signals: list[Signal], schedule: int) -> None:
    engine = driven(shape, given_signals, schedule)
    for length in range(1, len(engine.history) + 1):
        execution = new_execution(interprets, engine.payload)
        list(replay(execution, engine.history[:length]))
        issued, note = execution.issued, execution.note
        execution.close()
        assert (execution.issued, execution.note) == (issued, note)
        assert not execution._loop.tasks
        assert execution.next_deadline() is None


@calm
@given(shapes, signals, schedules, st.data())
def test_a_damaged_history_is_told_or_replays_and_never_breaks_the_worker(
    shape: Shape, given_signals: list[Signal], schedule: int, data: st.DataObject
) -> None:
    """As if the code had changed: a record is lost, doubled, renamed, renumbered or moved."""
    history = list(driven(shape, given_signals, schedule).history)
    place = data.draw(st.integers(1, len(history)), label="place")
    damage = data.draw(st.sampled_from(["lost", "doubled", "renamed", "renumbered", "moved"]), label="damage")
    damaged = renumbered(damaged_at(history, place, damage))
    execution = new_execution(interprets, json.dumps({"shape": shape}).encode())
    applied = 0
    try:
        for _ in replay(execution, damaged):
            applied += 1
        event(f"{damage}: replayed")
    except NonDeterminism:
        event(f"{damage}: told")
    execution.close()
    assert applied <= len(damaged)
    assert not execution._loop.tasks


def damaged_at(history: list[Record], place: int, damage: str) -> list[Record]:
    before, after = history[:place], history[place:]
    if not after:
        return before
    record, *rest = after
    match damage:
        case "lost":
            return [*before, *rest]
        case "doubled":
            return [*before, record, record, *rest]
        case "renamed":
            return [*before, record._replace(name=f"{record.name} anew"), *rest]
        case "renumbered":
            return [*before, record._replace(command=(record.command or 0) + 1), *rest]
        case _:
            return [*before, *rest, record]


def renumbered(history: list[Record]) -> list[Record]:
    assert history[0].kind is RecordKind.STARTED
    return [record._replace(position=position) for position, record in enumerate(history, 1)]


def test_the_garbage_collector_finds_nothing_that_runs_workflow_code(recwarn: pytest.WarningsRecorder) -> None:
    """After all these runs: what is left would complain here about tasks destroyed or coroutines never awaited."""
    gc.collect()
    assert not recwarn.list
