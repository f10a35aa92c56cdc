"""Signals that wait for a run that does not exist: a flipped bit in its id, and nobody will ever ask for them."""

from collections.abc import Sequence

from perdure.model.findings import Finding, Level

NAMED_MOST = 10


def astray(run_ids: Sequence[str]) -> Finding:
    """Given at most one id more than are named."""
    if not run_ids:
        return Finding("inboxes", Level.OK, "every signal waits for a run that exists")
    more = " and more" if len(run_ids) > NAMED_MOST else ""
    what = f"signals wait for runs that do not exist ({', '.join(map(repr, run_ids[:NAMED_MOST]))}{more}) and are never delivered"
    remedy = "an id may be damaged: compare with `perdure run list` and a backup, then put these rows of table inbox right, or delete them"
    return Finding("inboxes", Level.WRONG, what, remedy)
