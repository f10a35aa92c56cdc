"""Every sample workflow with what it is given and what comes of it, whatever the order of outcomes."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perdure.authoring.workflow import Workflow
from tests.driving import Signal
from tests.versions.samples import coordination, flow, signals, timing, together


@dataclass(frozen=True, slots=True)
class Sample:
    workflow: Workflow[..., Any]
    result: object = ...  # Ellipsis where it depends on the order of outcomes, or on the run
    arguments: tuple[object, ...] = ()
    signals: Sequence[Signal] = ()
    raises: str = ""
    differs_between_minors: bool = False
    since: tuple[int, int] = (3, 11)

    @property
    def name(self) -> str:
        return self.workflow.name


SAMPLES = [
    Sample(timing.sleeps, ["slept", 5, 8]),
    Sample(timing.sleeps_until, [7200, 5184000.000001]),
    Sample(timing.times_out, [10, "in time", False, "at once"]),
    Sample(timing.times_out_at, [25, 25, True]),
    Sample(timing.nested_timeouts, ["outer", "inner", "outer"]),
    Sample(timing.waits_for, ["two", "none", "late", "LookupError('oh')", "both late", 11]),
    Sample(timing.calls_later, ["at", 7]),
    Sample(timing.cancels_timers, 30),
    Sample(together.gathers, [[1, 2, 3, 4, 9, "slept"], [[2, 3], [4]], []]),
    Sample(together.gathers_errors, ["1", "LookupError('a')", "3", "LookupError('b')"]),
    Sample(together.gather_fails, [33]),
    Sample(together.groups, [["two-0", "two-1", "two-2"], [1, 2, 3, "late"]]),
    Sample(together.group_fails),
    Sample(together.waits_in_all_modes),
    Sample(together.iterates_sets),
    Sample(together.as_they_complete),
    Sample(together.as_they_complete_with_async_for, [[1, 1], [2, 2], [0, 3], "a", "b", "c"], since=(3, 13)),
    Sample(together.shields),
    Sample(together.cancels_tasks, [[True, "enough"], [True], "after all", ["cancels_tasks", 0, 1]]),
    Sample(together.cancelled_between),
    Sample(together.leaves_tasks_running, "done with 2 left"),
    Sample(together.waits_for_beside, ["first", "second"], differs_between_minors=True),
    Sample(together.waits_for_beside_the_same, ["first", "second"], differs_between_minors=True),
    Sample(coordination.queues, [0, 1, 2, 3, 4, 5, "empty", 1, 2, 3]),
    Sample(coordination.events, ["a", "b", "c", False, True]),
    Sample(coordination.locks, ["in 0", "out 0", "in 1", "out 1", "in 3", "out 3", False]),
    Sample(coordination.semaphores, [[0, 1, 2, 3, 4, 5], 2]),
    Sample(coordination.conditions),
    Sample(coordination.barriers, [0, 1, 2, False, 3]),
    Sample(flow.generates, [0, 1, 2, 0]),
    Sample(flow.leaves_a_generator, 7),
    Sample(flow.keeps_contexts_apart, ["nobody", "a", "b", "c", "nobody", "main", "nobody", "kept"]),
    Sample(flow.enters_contexts, ["book a", "book b"]),
    Sample(flow.cleans_up, ["cleaned", True, True]),
    Sample(flow.handles_failures, ["attempt 0", "attempt 1", "attempt 2", ["second", "first"]]),
    Sample(flow.raises, arguments=("oh dear",), raises="oh dear"),
    Sample(flow.asks_for_values),
    Sample(signals.receives, [1, ["b", "two"], ["a", 3], 4, "none"], signals=[(0, "a", 1), (1, "b", "two"), (2, "a", 3), (3, "a", 4)]),
    Sample(
        signals.receives_in_time,
        [1, "late", 2, ["refused", "no"], "late"],
        signals=[(9, "paid", 1), (25, "paid", 2), (30, "refused", "no")],
    ),
    Sample(
        signals.shares_signals,
        ["CancelledError", ["y", "a", 1], ["z", "b", 2], ["w", "a", 3]],
        signals=[(5, "a", 1), (6, "b", 2), (7, "a", 3)],
    ),
    Sample(signals.decodes_signals, [1, "no number", 3], signals=[(1, "count", 1), (2, "count", "two"), (3, "count", 3)]),
    Sample(signals.races, signals=[(5, "go", None)]),
]


def samples_here() -> list[Sample]:
    return [sample for sample in SAMPLES if sys.version_info[:2] >= sample.since]
