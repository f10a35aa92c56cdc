"""Why a run is quarantined that kills its workers."""

import json


def poison(strikes: int) -> bytes:
    """The error of a run that kills its workers, as failures are stored."""
    message = (
        f"{strikes} processes died while its code was executing, the last ones with nothing else to run; fix the code, then resume the run"
    )
    return json.dumps({"type": "perdure.errors.PoisonedRun", "message": message, "args": None, "traceback": ""}).encode()
