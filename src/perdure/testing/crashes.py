"""Kills the process at every record of a run, in turn, and compares what comes of it with the run that nobody disturbed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from perdure.authoring.workflow import Workflow
from perdure.model.records import Record
from perdure.store.protocol import Checkpoint, Committed
from perdure.testing.harness import NotEnded, VirtualEngine
from perdure.testing.mortal import Watch
from perdure.testing.scenarios import RUN_ID, Ending, Prepare, Scenario, Signal, checked_signals, plan, shortened

KILLS_MOST = 2000
_DIFFERENCES_SHOWN = 10

When = Literal["before", "after"]


class CrashDifference(AssertionError):
    """A run that was killed and taken up again did not end as the undisturbed one. `differences`: one text for each kill."""

    def __init__(self, workflow: str, differences: Sequence[str], kills: int) -> None:
        self.differences = tuple(differences)
        shown = "\n".join(f"- {one}" for one in differences[:_DIFFERENCES_SHOWN])
        more = f"\n- and {len(differences) - _DIFFERENCES_SHOWN} more" if len(differences) > _DIFFERENCES_SHOWN else ""
        super().__init__(f"workflow {workflow}: {len(differences)} of {kills} kills made a difference\n{shown}{more}")


@dataclass(frozen=True, slots=True)
class CrashReport:
    """`ending` is that of the undisturbed run, which every killed one had, too; `kills` says where each was killed."""

    ending: Ending
    kills: tuple[str, ...]


async def crash_everywhere(
    workflow: Workflow[..., Any],
    /,
    *args: Any,
    signals: Sequence[Signal] = (),
    prepare: Prepare | None = None,
    accept: Callable[[Ending], bool] = lambda _ending: False,
    start: datetime | None = None,
    real_steps: bool = True,
    patience: float = 10.0,
    kills_most: int = KILLS_MOST,
    others: Sequence[Workflow[..., Any]] = (),
    folder: Path | None = None,
    **kwargs: Any,
) -> CrashReport:
    """Run the workflow to its end; then again for each of its records, killing the process just before and just after the COMMIT.

    A kill is what SIGKILL is: what was not committed is gone, no clean-up runs, another process takes the run up. Raises CrashDifference
    when a killed run ends otherwise (its result, its error, its effects), goes into quarantine or does not end; it says at which record.

    `prepare(engine)` is called before each run, to fake steps and to make a fresh world behind them; if it returns a function, what that
    gives after the run are the effects that must be equal. `accept` lets other endings pass, such as one for StepOutcomeUnknown. `others`:
    workflows that the engine also runs. `folder`: keep the stores in files there, opened anew after each kill, instead of in memory.
    """
    scenario = Scenario(workflow, args, kwargs, prepare, start, real_steps, patience, others, folder)
    checked_signals(signals)
    observer = Observer()
    undisturbed = await _play(scenario, signals, observer.watch)
    if isinstance(undisturbed.error, NotEnded):
        raise NotEnded(f"crash_everywhere compares runs that end, but undisturbed: {undisturbed.error} (with signals=[Signal(…)])")
    if 2 * len(observer.writes) > kills_most:
        raise ValueError(f"the run has {len(observer.writes)} writes to be killed at; allow more with kills_most=, or test a shorter one")
    kills, differences = [], []
    for number, write in enumerate(observer.writes, 1):
        for when in _WHENS:
            place = f"killed {when} {write} was on disk"
            kills.append(place)
            ending = await _play(scenario, signals, Killer(number, when).watch)
            difference = difference_of(undisturbed, ending)
            if difference is not None and not accept(ending):
                differences.append(f"{place}: {difference}")
    if differences:
        raise CrashDifference(workflow.name, differences, len(kills))
    return CrashReport(undisturbed, tuple(kills))


_WHENS: tuple[When, ...] = ("before", "after")


async def _play(scenario: Scenario, signals: Sequence[Signal], watch: Callable[[], Watch]) -> Ending:
    def setup(engine: VirtualEngine) -> None:
        plan(engine, signals)
        engine.watch = watch()

    return await scenario.play(lambda engine, run: engine.finish(run), setup)


def difference_of(undisturbed: Ending, killed: Ending) -> str | None:
    """In words, None where there is none."""
    if undisturbed.outcome != killed.outcome or undisturbed.result != killed.result:
        return f"{killed.outcome}; undisturbed, {undisturbed.outcome}"
    if undisturbed.effects != killed.effects:
        repeated = _repeated_steps(killed)
        twice = f"{repeated} ran twice: give the other side info().idempotency_key"
        why = twice if repeated else "no step ran twice, but workflow code is replayed: put what has effects into a step"
        return f"its effects are {shortened(repr(killed.effects))}; undisturbed, they are {shortened(repr(undisturbed.effects))} ({why})"
    return None


def _repeated_steps(ending: Ending) -> str:
    seen, repeated = set(), []
    for call in ending.calls:
        attempt = (call.idempotency_key, call.attempt)
        if attempt in seen:
            repeated.append(f"step {call.step}")
        seen.add(attempt)
    return ", ".join(dict.fromkeys(repeated))


# ── who watches the commits ──────────────────────────────────────────────────────────────────────────────────────────


class Observer:
    """Notes each commit that writes something of the run."""

    def __init__(self) -> None:
        self.writes: list[str] = []

    def watch(self) -> Watch:
        return Watch(dies_after=self._note)

    def _note(self, batch: Checkpoint, committed: Committed) -> bool:
        written = writes_in(batch, committed)
        if written:
            self.writes.append(" and ".join(written))
        return False


class Killer:
    """Kills once, at the commit of this number."""

    def __init__(self, number: int, when: When) -> None:
        self._number = number
        self._when = when
        self._seen = 0
        self._has_killed = False

    def watch(self) -> Watch:
        return Watch(self._before, self._after)

    def _before(self, batch: Checkpoint, committed: Committed) -> bool:
        return bool(writes_in(batch, committed)) and self._seen + 1 == self._number and self._kills("before")

    def _after(self, batch: Checkpoint, committed: Committed) -> bool:
        if not writes_in(batch, committed):
            return False
        self._seen += 1
        return self._seen == self._number and self._kills("after")

    def _kills(self, when: When) -> bool:
        if self._has_killed or when != self._when:
            return False
        self._has_killed = True
        return True


def writes_in(batch: Checkpoint, committed: Committed) -> list[str]:
    """What a commit holds of the run under test, in words: its records, failed attempts and intents."""
    writes = [
        *(_shown(one.started) for one in committed.claimed if one.row.id == RUN_ID and one.started is not None),
        *(_shown(record) for one in committed.written if one.run_id == RUN_ID for record in one.records),
    ]
    for change in batch.changes:
        if change.run_id == RUN_ID:
            writes += [f"failed attempt {failure.failures} of step {failure.name}" for failure in change.failures]
            writes += [f"the intent of step {intent.name}" for intent in change.intents]
    return writes


def _shown(record: Record) -> str:
    return f"record {record.position} ({record.kind.value}{f' {record.name}' if record.name else ''})"
