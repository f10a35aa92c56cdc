"""What becomes of a step once an attempt of it is over: its record, or what is kept until its next try."""

import logging

from perdure.clock import SECOND, Microseconds, to_datetime
from perdure.codec.failures import encode_failure
from perdure.engine.attempt import Attempt
from perdure.engine.committer import Committer
from perdure.engine.live import LiveRun, Retrying
from perdure.engine.ports import Ports
from perdure.errors import RetryAfter, StepOutcomeUnknown
from perdure.model.records import NewRecord, RecordKind
from perdure.model.retry import TryAgain, after_failure
from perdure.runtime.commands import StepCommand
from perdure.settings import Settings
from perdure.store.protocol import AttemptFailed

log = logging.getLogger("perdure.step")


class Results:
    """Hands to the committer what is to be written about the steps of every run."""

    def __init__(self, ports: Ports, settings: Settings, committer: Committer) -> None:
        self._ports = ports
        self._settings = settings
        self._committer = committer

    def failed(self, run: LiveRun, attempt: Attempt, error: BaseException, is_final: bool) -> None:
        command, retrying = attempt.command, run.retrying[attempt.command.number]
        limits = self._settings.limits
        failure = encode_failure(
            error, message_characters=limits.error_message_characters, traceback_characters=limits.error_traceback_characters
        )
        asked = max(0, round(error.delay.total_seconds() * SECOND)) if isinstance(error, RetryAfter) else None
        now = self._ports.clock.now()
        verdict = None if is_final else self._verdict(command, attempt, error, retrying, now, asked)
        if isinstance(verdict, TryAgain):
            retrying.failures, retrying.next_at, retrying.is_on_disk = attempt.number, verdict.not_before, True
            if command.options.at_most_once:
                retrying.error = failure
            run.about_attempts().failures.append(
                AttemptFailed(command.number, command.name, command.digest, attempt.number, retrying.began_at, verdict.not_before, failure)
            )
            log.info(
                "step %s of run %s: attempt %d failed, next try at %s: %r",
                command.name,
                run.id,
                attempt.number,
                to_datetime(verdict.not_before),
                error,
            )
            self._committer.touch(run)
        else:
            self.record(run, command, RecordKind.STEP_FAILED, failure, attempt.number)

    def _verdict(
        self, command: StepCommand, attempt: Attempt, error: BaseException, retrying: Retrying, now: int, asked: Microseconds | None
    ) -> object:
        return after_failure(command.options.retry, attempt.number, error, retrying.began_at, now, self._ports.chance.random(), asked)

    def record(self, run: LiveRun, command: StepCommand, kind: RecordKind, payload: bytes | None, attempt: int) -> None:
        """The step is over: its result or failure waits to be written, and what the store keeps of its attempts goes."""
        retrying = run.retrying.pop(command.number, None)
        if retrying is not None and retrying.timer is not None:
            retrying.timer.cancel()
        if command.options.at_most_once or (retrying is not None and retrying.is_on_disk):
            run.about_attempts().settled.append(command.number)
        output, error = (payload, None) if kind is RecordKind.STEP else (None, payload)
        run.records.append(
            NewRecord(command.recorded_as(kind), command.name, command.number, command.digest, command.payload, output, error, attempt)
        )
        self._committer.touch(run)

    def refuse_repeat(self, run: LiveRun, command: StepCommand, attempt: int) -> None:
        """An at_most_once step whose intent is read back: it may have run, so it is not run again."""
        limits = self._settings.limits
        error = outcome_unknown(run, command, "its worker died while it was under way")
        failure = encode_failure(
            error, message_characters=limits.error_message_characters, traceback_characters=limits.error_traceback_characters
        )
        self.record(run, command, RecordKind.STEP_FAILED, failure, attempt)

    def take_back(self, run: LiveRun, command: StepCommand) -> None:
        """Its intent is on disk, but it will certainly not run here. Failures that were counted stay."""
        if not command.options.at_most_once or not run.is_mine:
            return
        retrying = run.retrying.get(command.number)
        if retrying is None or not retrying.failures:
            run.about_attempts().settled.append(command.number)
            return
        now = self._ports.clock.now()
        run.about_attempts().failures.append(
            AttemptFailed(command.number, command.name, command.digest, retrying.failures, retrying.began_at, now, retrying.error)
        )


def outcome_unknown(run: LiveRun, command: StepCommand, what: str) -> StepOutcomeUnknown:
    return StepOutcomeUnknown(f"step {command.name} of run {run.id} may or may not have run: {what}")
