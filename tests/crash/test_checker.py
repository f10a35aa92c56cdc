"""The check of these tests finds what it is there to find: each kind of damage, planted, is named."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.crash import checker
from tests.crash.checker import Evidence
from tests.crash.effects import Effect
from tests.crash.harness import Harness, result, signal, start
from tests.crash.store_view import HistoryLine

RUN = "all"


@pytest.fixture
def evidence(harness: Harness) -> Evidence:
    """Of a run that had no trouble."""
    lanes = ((start("everything", RUN, 2), signal(RUN, 1), signal(RUN, 2), result(RUN)),)
    assert harness.worker(lanes=lanes).wait() == 0
    return harness.check()


def lines_changed(evidence: Evidence, kind: str, **changes: Any) -> Evidence:
    """The last record of this kind is another."""
    lines = evidence.histories[RUN]
    last = max(number for number, line in enumerate(lines) if line.kind == kind)
    return replace(evidence, histories={RUN: [*lines[:last], replace(lines[last], **changes), *lines[last + 1 :]]})


def lines_without(evidence: Evidence, is_lost: Callable[[HistoryLine], bool]) -> Evidence:
    return replace(evidence, histories={RUN: [line for line in evidence.histories[RUN] if not is_lost(line)]})


def effect_repeated(evidence: Evidence, what: str, **changes: Any) -> Evidence:
    one = next(evidence.of(what))
    again = Effect(evidence.histories[RUN][-1].at + 1, one.pid, what, one.data | changes)
    return replace(evidence, effects=[*evidence.effects, again])


def run_changed(evidence: Evidence, **changes: Any) -> Evidence:
    return replace(evidence, runs={RUN: replace(evidence.runs[RUN], **changes)})


def older_holder(evidence: Evidence) -> Evidence:
    """The last step's result comes from a holder before all others."""
    last = [line for line in evidence.histories[RUN] if line.kind == "step"][-1]
    effects = [
        Effect(one.at, one.pid, one.what, one.data | {"token": "0"}) if one.what == "end" and one["value"] == last.value else one
        for one in evidence.effects
    ]
    return replace(evidence, effects=effects)


PLANTED: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "a body begins after its record": (lambda e: effect_repeated(e, "begin", value="another"), "begun_after_recorded"),
    "an acknowledged run is gone": (lambda e: replace(e, runs={}, histories={}), "acknowledged_but_lost"),
    "an acknowledged key is gone": (lambda e: replace(e, keys=set()), "acknowledged_but_lost"),
    "another result than was given out": (lambda e: lines_changed(e, "completed", output=b"{}"), "acknowledged_but_lost"),
    "a result that was seen is gone": (lambda e: lines_without(e, lambda line: line.kind == "step"), "seen_but_lost"),
    "a result that nobody returned": (lambda e: lines_changed(e, "step", output=b'"made up"'), "results_of_nobody"),
    "the number of another attempt": (lambda e: lines_changed(e, "step", attempt=7), "results_of_nobody"),
    "a gap": (lambda e: lines_without(e, lambda line: line.position == 4), "gaps"),
    "time runs backwards": (lambda e: lines_changed(e, "completed", at=1), "gaps"),
    "two records of one command": (lambda e: lines_changed(e, "step", command=e.histories[RUN][1].command), "gaps"),
    "two firings of one timer": (lambda e: lines_changed(e, "timer", command=0), "gaps"),
    "an end that the row does not know": (lambda e: run_changed(e, state="waiting", wake_at=1), "gaps"),
    "a commit of a holder before": (older_holder, "stale_commits"),
    "an attempt counted anew": (lambda e: lines_changed(e, "step", name="flaky"), "wrong_attempts"),
    "an attempt without a failure before": (lambda e: effect_repeated(e, "begin", attempt=9), "wrong_attempts"),
    "an at_most_once body twice": (
        lambda e: effect_repeated(effect_repeated(e, "begin", step="once"), "begin", step="once"),
        "wrong_attempts",
    ),
    "owned by nobody": (lambda e: run_changed(e, state="running"), "stranded"),
    "waiting for nothing": (lambda e: run_changed(e, state="waiting", waiting_for=None), "stranded"),
    "never due": (lambda e: run_changed(e, state="pending"), "stranded"),
    "waiting beside a signal": (
        lambda e: replace(run_changed(e, state="waiting", waiting_for=b"[]"), inbox=[(RUN, "go", {"n": 3})]),
        "stranded",
    ),
    "quarantined without a reason": (lambda e: run_changed(e, state="quarantined"), "stranded"),
    "attempts left behind": (lambda e: replace(e, attempts=[(RUN, 1, 1, None)]), "stranded"),
    "a signal taken twice": (lambda e: lines_changed(e, "signal", output=b'{"n": 1}'), "signals_wrong"),
    "a signal lost": (lambda e: lines_without(e, lambda line: line.kind == "signal"), "signals_wrong"),
    "signals out of order": (lambda e: replace(e, histories={RUN: swapped(e.histories[RUN])}), "signals_wrong"),
    "an early timer": (
        lambda e: lines_changed(e, "completed", output=b'{"values": [], "naps": [[1, 0.5]], "received": []}'),
        "answers_wrong",
    ),
    "a damaged file": (lambda e: replace(e, integrity="row 3 missing from index"), "damaged"),
}


def swapped(lines: list[HistoryLine]) -> list[HistoryLine]:
    one, two = (number for number, line in enumerate(lines) if line.kind == "signal")
    outputs = {one: lines[two].output, two: lines[one].output}
    return [replace(line, output=outputs.get(number, line.output)) for number, line in enumerate(lines)]


def test_each_planted_damage_is_named(evidence: Evidence) -> None:
    missed = {}
    for what, (plant, check) in PLANTED.items():
        named = {said.partition(":")[0] for said in checker.violations(plant(evidence))}
        if check not in named:
            missed[what] = named
    assert not missed


def test_a_changed_end_is_named(evidence: Evidence) -> None:
    assert not checker.changed_since(evidence, evidence)
    assert checker.changed_since(evidence, lines_changed(evidence, "completed", output=b"{}"))
    assert checker.changed_since(evidence, run_changed(evidence, ended_at=1))
    assert checker.changed_since(evidence, lines_without(evidence, lambda line: line.position > 3))


def test_who_was_stopped_is_excused_for_what_it_was_about_to_begin_and_for_nothing_else(evidence: Evidence) -> None:
    begin = next(one for one in evidence.of("begin") if checker.place(one) in evidence.steps())
    went_on = max(line.at for line in evidence.histories[RUN]) + 1
    again = replace(begin, pid=1, at=went_on + 2000, data=begin.data | {"value": "another", "attempt": 9})

    def named(*effects: Effect) -> int:
        return len(list(checker.begun_after_recorded(replace(evidence, effects=list(effects), resumed={1: [went_on]}))))

    assert named(again, again) == 0
    assert named(again, again, again) == 1
    assert named(replace(again, at=went_on + checker.AT_ONCE)) == 1
    assert named(replace(again, at=went_on - 1)) == 1
    assert named(replace(again, pid=2)) == 1
