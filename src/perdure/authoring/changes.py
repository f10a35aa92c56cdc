"""Changing the code under runs that are under way."""

from perdure.authoring.current import require_host
from perdure.errors import BadInput

MARK_CHARACTERS_MOST = 200


class ContinuesAsNew(BaseException):
    """Leaves the code of a generation: no Exception, so that `except Exception` does not hold it up."""


def is_continuation(error: BaseException) -> bool:
    """Also of a group of nothing else, which is what a TaskGroup makes of it."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_continuation(one) for one in error.exceptions)
    return isinstance(error, ContinuesAsNew)


def patched(mark: str) -> bool:
    """Whether this run takes the new way: True where no earlier code of it has been, False for ever where earlier code went on.

        if patched("check for fraud"):
            await check_for_fraud(order)

    One answer for each mark and run, the same on every replay, in loops and branches too; it is recorded with the next that the run
    has to write. A run that was begun after the mark came into the code gets True. Take the mark out of the code when no
    unfinished run needs the old way any more; runs that have passed it go on. Raises BadInput for a mark that is no text of 1 to 200
    printable characters.
    """
    host = require_host("patched()")
    if not (0 < len(mark) <= MARK_CHARACTERS_MOST and mark.isprintable()):
        raise BadInput(f"a mark is a printable text of 1 to {MARK_CHARACTERS_MOST} characters, not {mark[:50]!r}")
    return host.patched(mark)
