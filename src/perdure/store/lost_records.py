"""Records that were acknowledged and are gone: after a fail-over without the last commits, or when an older backup was put back."""

import json
from collections.abc import Iterable, Sequence

from perdure.model.lost_records import Known, LostRecords
from perdure.model.states import FINAL, RunState
from perdure.store.rows import Row

ERROR = "perdure.errors.AcknowledgedLost"


def lost(known: Iterable[Known], rows: Iterable[Row]) -> Sequence[tuple[LostRecords, bool]]:
    """`rows`: of each run that is there its id, generation, state and last position. With each, whether it is to be set aside."""
    found = {row[0]: row for row in rows}
    told = []
    for one in known:
        _, generation, state, position = found.get(one.run_id, (one.run_id, None, None, None))
        if generation is None or (generation, position) < (one.generation, one.position):
            told.append((LostRecords(one, generation, position), state is not None and RunState(state) not in FINAL))
    return told


def failure(one: LostRecords) -> bytes:
    """Why it is quarantined, as failures are stored."""
    message = (
        f"{one}: they were acknowledged, and the store has them no more (a fail-over without the last commits, or an older backup). What "
        f"their steps did has happened. Look what that was, then `perdure run resume {one.known.run_id}`: it goes on from record "
        f"{one.position}, and begins the steps after it again, with the same idempotency keys"
    )
    return json.dumps({"type": ERROR, "message": message, "args": None, "traceback": ""}).encode()
