"""Holds the store against the effect ledger: what was promised, and what is there. Each check yields what is wrong, in words."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from perdure.clock import Instant, Microseconds
from tests.crash.effects import Effect
from tests.crash.store_view import FINAL, RESULTS, STEPS, HistoryLine, Key, RunLine, StoreView
from tests.crash.workload import FLAKY_ATTEMPTS

BODIES_ABOUT_TO_BEGIN = 2  # in a process at one moment: on its event loop, and on a thread
AT_ONCE: Microseconds = 20_000  # after it goes on


@dataclass(frozen=True, slots=True)
class Evidence:
    """Both sides, read once."""

    runs: dict[str, RunLine]
    histories: dict[str, list[HistoryLine]]
    shared: dict[tuple[str, int], tuple[int, int]]  # by generation: which history it goes on with, and up to where
    keys: set[tuple[str, str]]
    inbox: list[tuple[str, str, Any]]
    workers: dict[str, str]  # state by incarnation
    attempts: list[tuple[str, int, int, int | None]]
    integrity: str
    effects: list[Effect]
    resumed: dict[int, list[Instant]]  # by process: when it went on after it had been stopped

    def of(self, what: str) -> Iterator[Effect]:
        return (effect for effect in self.effects if effect.what == what)

    def steps(self) -> dict[Key, HistoryLine]:
        return {line.key: line for lines in self.histories.values() for line in lines if line.kind in STEPS}


def gather(store: StoreView, effects: Sequence[Effect], resumed: Mapping[int, list[Instant]] | None = None) -> Evidence:
    with store.one_moment():
        return Evidence(
            {run.id: run for run in store.runs()},
            store.histories(),
            store.shared(),
            store.keys(),
            store.inbox(),
            {worker.incarnation: worker.state for worker in store.workers()},
            store.attempts(),
            store.integrity(),
            list(effects),
            dict(resumed or {}),
        )


def place(effect: Effect) -> Key:
    return (effect["run"], effect["generation"], effect["command"])


def begun_after_recorded(evidence: Evidence) -> Iterator[str]:
    """G2, I2: once recorded, that step's body is never started again by any worker.

    But one that was stopped between its last look at its lease and the first line of a body goes on with that line (G10's boundary).
    """
    steps = evidence.steps()
    went_on = [(pid, at) for pid, moments in evidence.resumed.items() for at in moments for _ in range(BODIES_ABOUT_TO_BEGIN)]
    for begin in evidence.of("begin"):
        record = steps.get(place(begin))
        if record is None or begin.at <= record.at or is_recorded_by(begin, record):
            continue
        excuse = next((one for one in went_on if one[0] == begin.pid and 0 <= begin.at - one[1] < AT_ONCE), None)
        if excuse is not None:
            went_on.remove(excuse)
        else:
            yield f"{place(begin)} began again in process {begin.pid}, {(begin.at - record.at) / 1e6:.3f} s after its record"


def is_recorded_by(begin: Effect, record: HistoryLine) -> bool:
    """Whether this very body is what was recorded: by a clock that is known to some milliseconds it may seem to begin afterwards."""
    return bool(begin["value"] == record.value if record.kind in RESULTS else begin["attempt"] == record.attempt)


def acknowledged_but_lost(evidence: Evidence) -> Iterator[str]:
    """G1: what was acknowledged is in the store."""
    for ack in evidence.of("ack"):
        run = evidence.runs.get(ack["run"])
        if run is None:
            yield f"{ack['do']} of {ack['run']} was acknowledged, but there is no such run"
        elif ack["do"] == "cancel" and run.is_final and run.state != "cancelled":
            yield f"{run.id} was to be cancelled, as was acknowledged, and is {run.state}"
        elif ack["do"] == "signal" and not any(key == (run.id, f"key:{ack['key']}") for key in evidence.keys):
            yield f"signal {ack['key']} to {run.id} was acknowledged, but its key is unknown"
        elif ack["do"] == "result":
            last = evidence.histories[run.id][-1]
            if not run.is_final or (ack["failed"] is None and last.value != ack["answer"]):
                yield f"result {ack['answer']!r} of {run.id} was given out, but it is {run.state} with {last.value!r}"


def seen_but_lost(evidence: Evidence) -> Iterator[str]:
    """G1: a result that later code has seen is on disk."""
    recorded = {line.value for lines in evidence.histories.values() for line in lines if line.kind in RESULTS}
    for begin in evidence.of("begin"):
        if begin["previous"] is not None and begin["previous"] not in recorded:
            yield f"{place(begin)} was given {begin['previous']!r}, which no record holds"


def results_of_nobody(evidence: Evidence) -> Iterator[str]:
    """A recorded result is what some attempt of that very step returned, and its attempt's number is that attempt's."""
    ends = {(place(end), end["value"]): end for end in evidence.of("end")}
    for key, line in evidence.steps().items():
        if line.kind not in RESULTS:
            continue
        end = ends.get((key, line.value))
        if end is None:
            yield f"{key} is recorded with {line.value!r}, which no attempt returned"
        elif end["attempt"] != line.attempt:
            yield f"{key} is recorded as attempt {line.attempt}, but attempt {end['attempt']} returned it"


def gaps(evidence: Evidence) -> Iterator[str]:
    """I1, I3: in each generation, with what it shares, positions 1..n, time never backwards, one record per command, one last record."""
    for run_id, lines in evidence.histories.items():
        run = evidence.runs.get(run_id)
        if run is None:
            yield f"{run_id} has a history but no row"
            continue
        for generation in sorted({line.generation for line in lines}):
            yield from gaps_in(run_id, whole(evidence, run_id, generation), generation == run.generation)
        last = lines[-1]
        if (last.kind in FINAL) != run.is_final or (run.is_final and last.kind != run.state) or last.generation != run.generation:
            yield f"{run_id} is {run.state} in generation {run.generation}, its history ends with {last}"


def whole(evidence: Evidence, run_id: str, generation: int) -> list[HistoryLine]:
    """What a replay of this generation reads."""
    own = [line for line in evidence.histories[run_id] if line.generation == generation]
    if (run_id, generation) not in evidence.shared:
        return own
    base, upto = evidence.shared[run_id, generation]
    return [line for line in whole(evidence, run_id, base) if line.position <= upto] + own


def gaps_in(run_id: str, lines: list[HistoryLine], is_last: bool) -> Iterator[str]:
    """Of one generation."""
    if [line.kind for line in lines] == ["cancel", "cancelled"]:
        return  # before it began
    if [line.position for line in lines] != list(range(1, len(lines) + 1)):
        yield f"{run_id} has positions {[line.position for line in lines]}"
    if any(later.at < earlier.at for earlier, later in pairwise(lines)):
        yield f"{run_id}: time runs backwards"
    if lines[0].kind != "started" or any(line.kind == "started" for line in lines[1:]):
        yield f"{run_id} does not begin with its one `started`"
    for kinds in (STEPS, {"timer"}):
        twice = [key for key, count in Counter(line.key for line in lines if line.kind in kinds).items() if count > 1]
        if twice:
            yield f"{run_id} has more than one {'/'.join(sorted(kinds))} record of {twice}"
    ends_as_it_should = lines[-1].kind != "continued" if is_last else lines[-1].kind in {"continued", "failed"}
    if any(line.kind in FINAL | {"continued"} for line in lines[:-1]) or not ends_as_it_should:
        yield f"{run_id}: a generation ends with {[line.kind for line in lines[-2:]]}, and there is {'none' if is_last else 'one'} after it"


def stale_commits(evidence: Evidence) -> Iterator[str]:
    """G10, I7: along a history, records come from ever later holders; none from an earlier one after a later one."""
    tokens = {(place(end), end["value"]): end["token"] for end in evidence.of("end")}
    for run_id, lines in evidence.histories.items():
        newest = ""
        for line in lines:
            token = tokens.get((line.key, line.value)) if line.kind in RESULTS else None
            if token is not None and token < newest:
                yield f"{run_id}: position {line.position} was committed by {token} after {newest} had committed"
            newest = max(newest, token or "")


def wrong_attempts(evidence: Evidence) -> Iterator[str]:
    """An attempt's number is recorded failures + 1, whatever died between; an at_most_once body begins once."""
    for line in evidence.steps().values():
        if line.name == "flaky" and line.attempt != FLAKY_ATTEMPTS:
            yield f"{line.key} succeeds in attempt {FLAKY_ATTEMPTS}, but {line.attempt} is recorded"
    failed = {(place(one), one["attempt"]) for one in evidence.of("failed")}
    for begin in evidence.of("begin"):
        if begin["attempt"] > 1 and (place(begin), begin["attempt"] - 1) not in failed:
            yield f"{place(begin)} began attempt {begin['attempt']} though attempt {begin['attempt'] - 1} never failed"
    for key, count in Counter(place(begin) for begin in evidence.of("begin") if begin["step"] == "once").items():
        if count > 1:
            yield f"the at_most_once step {key} began {count} times"


def stranded(evidence: Evidence) -> Iterator[str]:
    """I5: every run that has not ended is owned, waits for something that can come, is due, or is quarantined with a reason."""
    for run in evidence.runs.values():
        if (run.owner is not None) != (run.state == "running"):
            yield f"{run.id} is {run.state} and owned by {run.owner}"
        elif run.state == "pending" and run.wake_at is None:
            yield f"{run.id} is pending and never due"
        elif run.state == "waiting" and run.wake_at is None and not run.waiting_for:
            yield f"{run.id} waits for nothing"
        elif run.state == "waiting" and run.wake_at is None and any(addressed == run.id for addressed, *_ in evidence.inbox):
            yield f"{run.id} waits though a signal lies in its inbox"
        elif run.state == "quarantined" and not run.error:
            yield f"{run.id} is quarantined without a reason"
    left = {run for run, *_ in evidence.attempts} | {run for run, *_ in evidence.inbox}
    for run_id in left:
        if run_id not in evidence.runs or evidence.runs[run_id].is_final:
            yield f"attempts or signals are left of {run_id}, which has ended"


def signals_wrong(evidence: Evidence) -> Iterator[str]:
    """I8: each signal enters a history once, in the order sent, and none that was acknowledged vanishes.

    What a generation has not received is carried to the next, and so stands in both.
    """
    payloads: dict[str, list[Any]] = defaultdict(list)
    for run_id, lines in evidence.histories.items():
        for generation in sorted({line.generation for line in lines}):
            taken = [line.value for line in lines if line.kind == "signal" and line.generation == generation]
            numbers = [payload["n"] for payload in taken if isinstance(payload, dict)]
            if numbers != sorted(set(numbers)):
                yield f"{run_id} took its signals as {numbers} in generation {generation}"
            payloads[run_id] += [payload for payload in taken if payload not in payloads[run_id]]
    waiting = [(run_id, payload) for run_id, _, payload in evidence.inbox]
    for ack in evidence.of("ack"):
        if ack["do"] != "signal" or ack["run"] not in evidence.runs:
            continue
        run_id, number = ack["run"], int(ack["key"].rpartition("-")[2])
        everywhere = payloads[run_id] + [payload for addressed, payload in waiting if addressed == run_id]
        if [payload["n"] for payload in everywhere].count(number) != 1:
            yield f"signal {ack['key']} to {run_id} is not exactly once in history and inbox: {everywhere}"


def answers_wrong(evidence: Evidence) -> Iterator[str]:
    """The workflow returns what its history holds; timers were not early (I10)."""
    for run_id, lines in evidence.histories.items():
        if lines[-1].kind != "completed" or not isinstance(lines[-1].value, dict):
            continue
        answer = lines[-1].value
        differing = set(answer.get("values", ())) ^ {line.value for line in lines if line.kind == "step"}
        if differing:
            yield f"{run_id}: its answer and its history differ in {differing}"
        received, signals = answer.get("received", []), [line for line in lines if line.kind == "signal"]
        # What came after the code had ended, before that was written, was received by nobody and was written with the end.
        if received != [line.value for line in signals[: len(received)]] or any(
            line.at < lines[-1].at for line in signals[len(received) :]
        ):
            yield f"{run_id} received {received}, its history holds others"
        if any(slept < asked for asked, slept in answer.get("naps", ())):
            yield f"{run_id} woke early: {answer['naps']}"


def damaged(evidence: Evidence) -> Iterator[str]:
    if evidence.integrity != "ok":
        yield f"integrity_check: {evidence.integrity}"


CHECKS: list[Callable[[Evidence], Iterator[str]]] = [
    begun_after_recorded,
    acknowledged_but_lost,
    seen_but_lost,
    results_of_nobody,
    gaps,
    stale_commits,
    wrong_attempts,
    stranded,
    signals_wrong,
    answers_wrong,
    damaged,
]


def violations(evidence: Evidence) -> list[str]:
    return [f"{check.__name__}: {said}" for check in CHECKS for said in check(evidence)]


def changed_since(before: Evidence, after: Evidence) -> list[str]:
    """I1, I4: histories only grow, and what has ended does not change at all."""
    said = []
    for run_id, lines in before.histories.items():
        if after.histories.get(run_id, [])[: len(lines)] != lines:
            said.append(f"the history of {run_id} is not continued but changed")
        if before.runs[run_id].is_final and (after.histories[run_id] != lines or after.runs[run_id] != before.runs[run_id]):
            said.append(f"{run_id} had ended and has changed")
    return said


def summary(evidence: Evidence) -> str:
    """What happened, in a line."""
    begun = Counter(place(begin) for begin in evidence.of("begin"))
    states = Counter(run.state for run in evidence.runs.values())
    again = sum(count - 1 for count in begun.values()) - sum(1 for _ in evidence.of("failed"))
    return (
        f"{json.dumps(states)} with {sum(len(lines) for lines in evidence.histories.values())} records; "
        f"{len(begun)} steps, {again} bodies cut off and begun again; {sum(1 for _ in evidence.of('ack'))} acknowledgements"
    )
