"""Performs transactional steps inside the transaction of a checkpoint, each undone by itself when it fails."""

import re
import time

import apsw

from perdure.model.records import NewRecord
from perdure.store.calls import Call, CallSpoiled, NotAllowedInTransaction
from perdure.store.sqlite.failures import concerns_all
from perdure.store.sqlite.statements import fetch

INSTRUCTIONS_BETWEEN_LOOKS = 1000  # of SQLite's virtual machine, between two looks at the clock
_COMMENTS = re.compile(r"(\s|--[^\n]*(\n|$)|/\*.*?\*/)*", re.DOTALL)
_NOT_ALLOWED = re.compile(r"(begin|commit|end|attach|detach|vacuum|pragma|rollback(?!\s+(transaction\s+)?to))\b", re.IGNORECASE)


class Calls:
    """Those of one checkpoint. Together they hold the database no longer than one of them may: the rest waits for the next one."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._until: float | None = None

    def perform(self, call: Call) -> NewRecord | BaseException | None:
        """Its record, or what it raised, with nothing of it left in the database; None where there is no time left.

        Raises CallSpoiled when it has ended the transaction, and the errors of a store that cannot be written now.
        """
        begin = time.monotonic()
        if self._until is not None and begin > self._until:
            return None
        self._until = self._until or begin + call.seconds
        deadline = begin + call.seconds
        fetch(self._db, "savepoint perdure_call")
        outcome = self._outcome(call, deadline)
        if time.monotonic() > deadline and not isinstance(outcome, BaseException):
            outcome = too_late(call)
        self._check_transaction(call, outcome)
        if isinstance(outcome, BaseException):
            fetch(self._db, "rollback to perdure_call")
        fetch(self._db, "release perdure_call")
        return outcome

    def _outcome(self, call: Call, deadline: float) -> NewRecord | BaseException:
        db = self._db
        db.exec_trace = refuse_control
        db.set_progress_handler(lambda: time.monotonic() > deadline, INSTRUCTIONS_BETWEEN_LOOKS)
        try:
            return call.perform(db)
        except apsw.InterruptError:
            return too_late(call)
        except BaseException as error:  # recorded as the failure of the step: the thread that writes is everybody's
            return error
        finally:
            db.exec_trace = None
            db.set_progress_handler(None, INSTRUCTIONS_BETWEEN_LOOKS)

    def _check_transaction(self, call: Call, outcome: NewRecord | BaseException) -> None:
        """SQLite ends the whole transaction when a statement that writes is interrupted, or when the disk is full."""
        if self._db.in_transaction:
            return
        if isinstance(outcome, Exception) and concerns_all(outcome):
            raise outcome
        error = outcome if isinstance(outcome, BaseException) else NotAllowedInTransaction("the step has ended the transaction it runs in")
        raise CallSpoiled(call, error)


def too_late(call: Call) -> TimeoutError:
    return TimeoutError(
        f"it held the database longer than the {call.seconds:g} s that a transactional step may; do the slow part in a step before"
    )


def refuse_control(_cursor: object, statement: str, _bindings: object) -> bool:
    start = _COMMENTS.match(statement)
    found = _NOT_ALLOWED.match(statement, start.end() if start else 0)
    if found is not None:
        raise NotAllowedInTransaction(
            f"a transactional step may not say {found[0].upper()}: perdure commits what it wrote together with its record, or undoes both"
        )
    return True
