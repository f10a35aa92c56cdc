"""Replay these records against this workflow: do they match? The one place where the engine, `check` and the tests get the answer from."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from perdure.authoring.step import Step
from perdure.authoring.workflow import Workflow
from perdure.codec.failures import encode_failure
from perdure.codec.plain import describe_failure
from perdure.errors import CorruptedHistory, NonDeterminism, PerdureError
from perdure.model.histories import History
from perdure.model.records import Record, RecordKind
from perdure.model.runs import AttemptRow
from perdure.model.states import RunState
from perdure.runtime.commands import Continued, Raised, Returned, StepCommand
from perdure.runtime.divergence import check_attempt, check_issued, telling_the_end
from perdure.runtime.execution import Execution
from perdure.settings import DEFAULTS

DEADLOCK = "it waits for its own queues, events or locks only: nothing can ever wake it; fix the workflow, then resume the run"
_SHOWN_CHARACTERS = 100
_MESSAGE_CHARACTERS = 1000


def check_stand(execution: Execution, issued: int, attempts: Iterable[AttemptRow]) -> None:
    """After the whole history: raises NonDeterminism unless the code also asks for what was asked for and has no record yet."""
    with telling_the_end(execution.outcome):
        check_issued(issued, execution.issued)
        for row in attempts:
            check_attempt(row.command, row.name, execution.open.get(row.command))


def waits_for_nothing(execution: Execution) -> bool:
    """Whether it has begun and asks for nothing that could ever come: no step, no timer, no signal."""
    if execution.outcome is not None or execution.wanted() or not execution.position:
        return False
    return execution.next_deadline() is None and not execution.waited_topics()


@dataclass(frozen=True, slots=True)
class ChangedArguments:
    """The code now passes other arguments to a step whose outcome is recorded. The record stands, the step is not run again."""

    position: int
    command: int
    step: str
    recorded: bytes | None
    now: bytes

    def __str__(self) -> str:
        changes = _differences(self.recorded, self.now)
        return f"command {self.command}, step {self.step!r} (record {self.position}): its recorded outcome stands, but {changes}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What replaying a history came to, in words where something is wrong.

    `difference`: the run would be quarantined. `refused`: its input does not fit the code any more, so it would fail at once.
    `ends`: the history matches, but the run then ends where it was recorded to wait, or ends otherwise than recorded.
    """

    difference: str | None = None
    refused: str | None = None
    ends: str | None = None
    changed: tuple[ChangedArguments, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether the run would go on."""
        return self.difference is None and self.refused is None


def replay(
    workflow: Workflow[..., object],
    history: History,
    *,
    steps: dict[str, Step[..., object]] | None = None,
    payload_bytes_most: int = DEFAULTS.limits.payload_bytes,
) -> Verdict:
    """Replay a history against the code, as a worker would, up to where it would begin something new. Nothing outside is touched.

    `steps` are those met so far by name: pass the same dict for every run of one engine, as two steps of one name are refused.
    """
    refused = _refused(workflow, history)
    if refused is not None:
        return Verdict(refused=refused)
    execution = Execution(history.run_id, workflow, history.input, history.seed, payload_bytes_most, steps)
    changed: list[ChangedArguments] = []
    execution.marks.recall(history.records, history.reached)
    try:
        for record in history.records:
            command = _asked(execution, record)
            execution.apply(record)
            if command is not None and command.digest != record.digest:
                changed.append(ChangedArguments(record.position, command.number, command.name, record.input, command.payload))
        if not history.state.is_final:
            check_stand(execution, history.issued, history.attempts)
            if waits_for_nothing(execution):
                return Verdict(difference=DEADLOCK, changed=tuple(changed))
    except (NonDeterminism, CorruptedHistory) as error:
        return Verdict(difference=str(error), changed=tuple(changed))
    else:
        return Verdict(ends=_ends(execution, history), changed=tuple(changed))
    finally:
        execution.close()


def _refused(workflow: Workflow[..., object], history: History) -> str | None:
    try:
        workflow.parameters.decode(history.input)
    except PerdureError as error:
        return f"its input does not fit the code any more: {error}"
    return None


def _asked(execution: Execution, record: Record) -> StepCommand | None:
    """The command that the record of an outcome answers; a timer has no digest."""
    return None if record.command is None or record.digest is None else execution.open.get(record.command)


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _ends(execution: Execution, history: History) -> str | None:
    if history.state.is_final:
        return _ends_otherwise(execution, history.records[-1]) if history.records else None
    if history.state is RunState.RUNNING or execution.is_cancelled or execution.outcome is None:
        return None  # one that was running, or was cancelled, may have been about to end
    return f"it was recorded to wait, with this code it {_outcome(execution)} at once"


def _ends_otherwise(execution: Execution, last: Record) -> str | None:
    match last.kind:
        case RecordKind.COMPLETED:
            recorded = f"returned {_shown(last.output or b'null')}"
        case RecordKind.CONTINUED:
            recorded = f"continued as new with {_shown(last.output or b'null')}"
        case RecordKind.FAILED:
            recorded = f"failed with {_failure(last.error or b'{}')}"
        case _:
            return None
    now = _outcome(execution)
    return None if now == recorded else f"it {recorded}, with this code it {now}"


def _outcome(execution: Execution) -> str:
    match execution.outcome:
        case Returned(payload):
            return f"returned {_shown(payload)}"
        case Continued(payload):
            return f"continued as new with {_shown(payload)}"
        case Raised(error):
            return f"failed with {_failure(encode_failure(error, message_characters=_MESSAGE_CHARACTERS, traceback_characters=0))}"
        case None:
            waits = [repr(command.name) for command in execution.wanted()]
            return f"goes on with {', '.join(waits[:5])}" if waits else "goes on"


def _failure(failure: bytes) -> str:
    told = describe_failure(failure)
    return f"{told['type']}: {told['message'][:_MESSAGE_CHARACTERS]}"


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _differences(recorded: bytes | None, now: bytes) -> str:
    """By parameter, where both are objects by parameter name."""
    before, after = _parsed(recorded), _parsed(now)
    if before is None or after is None:
        return f"its arguments were {_shown(recorded or b'unknown')} and are now {_shown(now)}"
    told = []
    for name in dict.fromkeys([*before, *after]):
        if name not in before:
            told.append(f"{name} = {_shown_value(after[name])} is new")
        elif name not in after:
            told.append(f"{name} = {_shown_value(before[name])} is gone")
        elif before[name] != after[name]:
            told.append(f"{name} was {_shown_value(before[name])} and is now {_shown_value(after[name])}")
    return ", ".join(told) or "its arguments are written otherwise"


def _parsed(payload: bytes | None) -> dict[str, object] | None:
    try:
        value = json.loads(payload or b"null")
    except ValueError:  # put back: shown as it is
        return None
    return value if isinstance(value, dict) else None


def _shown_value(value: object) -> str:
    return _shown(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def _shown(payload: bytes) -> str:
    text = payload.decode(errors="replace")
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
