"""Every error perdure raises, with a stable code each.

PerdureError
├── RunFailed            the run ended with an error; __cause__ is the original
├── RunCancelled         the run was cancelled
├── RunConflict          the id is taken by a run with other input
├── RunNotFound          no run has this id
├── RunEnded             the run has ended: it takes no more signals and cannot be cancelled, paused or resumed
├── RunNotEnded          only a run that has ended can be deleted
├── NotRetryable         the run cannot be retried from where it failed
├── InboxFull            too many signals wait for this run
├── UnknownWorkflow      the name belongs to no workflow here
├── NameTaken            two workflows or steps of one name
├── BadInput             the arguments do not fit the signature
├── EncodeError          the value cannot be stored
│   └── PayloadTooLarge
├── DecodeError          stored bytes do not fit the type that is asked for
├── StepFailed           a step failed with an exception that cannot be rebuilt here
├── StepOutcomeUnknown   an at_most_once step may or may not have run
├── CompensationFailed   what a saga had done could not all be undone
├── NotInWorkflow        waiting is possible inside a run only
├── NotAllowedInWorkflow I/O or a thread inside workflow code
├── NonDeterminism       the code does not match the history
├── PoisonedRun          processes died under this run's code
├── CorruptedHistory     a stored record is damaged
├── AcknowledgedLost     the store has lost records of the run, in a fail-over or to an older backup
├── NotAnExport          the file is not a history that perdure exported
└── StoreError           the store cannot be used
    ├── StoreNotFound    ├── NotAStore         ├── StoreIsReadOnly
    ├── SchemaTooNew     ├── SchemaTooOld      ├── UnsafeFileSystem
    ├── StoreUnavailable (try again)           └── StoreFailed (start the process anew)
"""

from datetime import timedelta
from typing import ClassVar

from perdure.clock import to_microseconds


class PerdureError(Exception):
    """What every error of perdure derives from. `code` is stable; the text is for people."""

    code: ClassVar[str] = "perdure"


class RunFailed(PerdureError):
    """The run ended with an error. `__cause__` is the original exception where it could be rebuilt."""

    code = "run_failed"


class RunCancelled(PerdureError):
    """The run was cancelled and has no result."""

    code = "run_cancelled"


class RunConflict(PerdureError):
    """A run with this id exists and was started with another workflow or other input."""

    code = "run_conflict"


class RunNotFound(PerdureError):
    """No run has this id in this namespace."""

    code = "run_not_found"


class RunEnded(PerdureError):
    """The run has ended: what was asked for (a signal with a new key, cancel, pause, resume) is refused, nothing changed."""

    code = "run_ended"


class RunNotEnded(PerdureError):
    """The run has not ended, so it cannot be deleted; nothing was changed. Cancel it first."""

    code = "run_not_ended"


class NotRetryable(PerdureError):
    """The run is not in a state from which this can be done; nothing changed."""

    code = "not_retryable"


class InboxFull(PerdureError):
    """As many undelivered signals as the limit allows wait for this run; this one was not stored."""

    code = "inbox_full"


class UnknownWorkflow(PerdureError):
    """No workflow of this name was given to the engine."""

    code = "unknown_workflow"


class NameTaken(PerdureError, ValueError):
    """Two workflows or two steps of one name: the history could not tell them apart."""

    code = "name_taken"


class BadInput(PerdureError, TypeError):
    """The arguments do not fit the signature; the message names the field. Nothing was stored."""

    code = "bad_input"


class EncodeError(PerdureError, TypeError):
    """The value cannot be stored as JSON by its type hint; nothing has happened."""

    code = "encode_error"


class PayloadTooLarge(EncodeError):
    """The encoded value is above the limit (1 MiB); store it elsewhere and pass a reference."""

    code = "payload_too_large"


class DecodeError(PerdureError):
    """Stored bytes do not fit the type that is asked for."""

    code = "decode_error"


class StepFailed(PerdureError):
    """A step failed and its exception cannot be rebuilt here. `type`, `message` and `traceback` are text."""

    code = "step_failed"

    def __init__(self, type: str, message: str, traceback: str = "") -> None:
        super().__init__(type, message, traceback)
        self.type = type
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class StepOutcomeUnknown(PerdureError):
    """A worker died while this at_most_once step may have been running; it is not run again."""

    code = "step_outcome_unknown"


class CompensationFailed(PerdureError, ExceptionGroup[Exception]):
    """What a saga had done could not all be undone. `exceptions`: why the saga had to undo it, then each compensation's error.

    A cancellation is no Exception and so not among them; it is the `__cause__` where the workflow catches this.
    """

    code = "compensation_failed"


class RetryAfter(PerdureError):
    """Raise it in a step to be tried again after `delay` (a timedelta or seconds) rather than after the usual back-off.

    A delay that has passed already means at once. Raises ValueError for one that is no number, endless or longer than 365,000 days.
    """

    code = "retry_after"

    def __init__(self, delay: timedelta | float, reason: str = "") -> None:
        super().__init__(delay, reason)
        length = delay.total_seconds() if isinstance(delay, timedelta) else delay
        self.delay = timedelta(microseconds=to_microseconds(0 if length < 0 else delay, "delay"))
        self.reason = reason

    def __str__(self) -> str:
        return self.reason or f"asked to be tried again after {self.delay}"


class NotInWorkflow(PerdureError, RuntimeError):
    """This function records what it returns, so it works inside a run only."""

    code = "not_in_workflow"


class NotAllowedInWorkflow(PerdureError, RuntimeError):
    """Workflow code did I/O, started a thread or blocked: it would not replay. Move it into a step."""

    code = "not_allowed_in_workflow"


class NonDeterminism(PerdureError):
    """The code asks for something else than the history holds. The run is quarantined; nothing recorded is changed."""

    code = "non_determinism"


class CorruptedHistory(PerdureError):
    """A stored record does not match its checksum. The run is quarantined; others go on."""

    code = "corrupted_history"


class AcknowledgedLost(PerdureError):
    """Records of the run that were acknowledged are gone from the store (a fail-over, an older backup). It is quarantined; others go on."""

    code = "acknowledged_lost"


class NotAnExport(PerdureError):
    """The file is not a history that perdure exported, or is of a newer format."""

    code = "not_an_export"


class PoisonedRun(PerdureError):
    """Processes died again and again while this run's code was executing, at last with nothing else to run. It is quarantined."""

    code = "poisoned_run"


class StoreError(PerdureError):
    """The store cannot be used as asked."""

    code = "store"


class StoreNotFound(StoreError):
    """There is no store at this address."""

    code = "store_not_found"


class NotAStore(StoreError):
    """The file is a database, or something else, but not a perdure store."""

    code = "not_a_store"


class StoreIsReadOnly(StoreError):
    """The store or its folder cannot be written."""

    code = "store_read_only"


class SchemaTooNew(StoreError):
    """A newer perdure has migrated this store; upgrade this one."""

    code = "schema_too_new"


class SchemaTooOld(StoreError):
    """The store lacks migrations; run `perdure db migrate`. `version` is the store's, `pending` names what it lacks."""

    code = "schema_too_old"

    def __init__(self, message: str, version: int = 0, pending: tuple[str, ...] = ()) -> None:
        super().__init__(message, version, pending)
        self.version = version
        self.pending = pending

    def __str__(self) -> str:
        return str(self.args[0])


class UnsafeFileSystem(StoreError):
    """SQLite's locks cannot be relied on here (a network file system)."""

    code = "unsafe_file_system"


class StoreUnavailable(StoreError):
    """The store does not answer or cannot write now (busy, disk full); nothing was acknowledged, try again."""

    code = "store_unavailable"


class StoreFailed(StoreError):
    """The disk failed to make data durable (fsync); only a new process can know what is on it."""

    code = "store_failed"
