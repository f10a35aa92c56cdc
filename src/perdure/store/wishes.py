"""What people want of runs and waits for their owners."""

import json
from collections.abc import Mapping

from perdure.clock import SECOND, Instant, Microseconds
from perdure.model.records import NewRecord, RecordKind

CANCEL, PAUSE = "cancel", "pause"

Wish = tuple[Instant, Microseconds]
"""When it arrived; of a cancel, the time its code has to clean up."""

NOTHING: Mapping[str, Wish] = {}


def cancel_record(grace: Microseconds) -> NewRecord:
    return NewRecord(RecordKind.CANCEL, input=json.dumps({"grace_seconds": grace / SECOND}).encode())
