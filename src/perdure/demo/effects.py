"""What step bodies did, noted outside the database: the witness that no step began again after it was recorded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from perdure import info
from perdure.demo.ledger import Ledger


@contextmanager
def noted() -> Iterator[None]:
    """Note that the body of this step begins and, if it gets there, how it ends. Does nothing outside the demo."""
    path = os.environ.get("EFFECTS_LEDGER")
    if path is None:
        yield
        return
    ledger, here = _ledger(path), info()
    about = {"run": here.run_id, "step": here.step, "attempt": here.attempt, "key": here.idempotency_key, "process": os.getpid()}
    ledger.append({"event": "begin", **about})
    try:
        yield
    except BaseException as error:
        ledger.append({"event": "error", **about, "error": str(error)})
        raise
    ledger.append({"event": "end", **about})


@cache
def _ledger(path: str) -> Ledger:
    return Ledger(Path(path), is_durable=False)  # a killed process loses nothing that was written; only the machine could
