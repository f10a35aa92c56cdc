"""What a record says, as the code or the run needs it."""

import json

from perdure.clock import Microseconds, to_microseconds
from perdure.codec.failures import replayed_failure
from perdure.codec.plain import describe_failure
from perdure.errors import CorruptedHistory, StepFailed
from perdure.model.records import Record


def raisable(failure: bytes) -> Exception:
    error = replayed_failure(failure)
    # No future takes a StopIteration: it would end the coroutine that awaits it.
    return StepFailed(**describe_failure(failure)) if isinstance(error, StopIteration) else error


def grace_of(record: Record) -> Microseconds:
    """How long a run that is cancelled has to clean up, as it was recorded."""
    try:
        return to_microseconds(json.loads(record.input or b"{}")["grace_seconds"], "grace_seconds")
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptedHistory(f"record {record.position} says nothing of the time to clean up: {error!r}") from error
