"""Runs that outlive their code or their history: `patched` and `continue_as_new`."""

from typing import NoReturn

from perdure.authoring.current import require_host
from perdure.names import CHARACTERS_MOST, checked_name


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
    return host.patched(checked_name(mark, "a mark", CHARACTERS_MOST))


async def continue_as_new(*args: object, **kwargs: object) -> NoReturn:
    """End here and go on as a new generation of the same run: the workflow begins again with these arguments and an empty history.

        @workflow
        async def subscription(customer: str, months: int = 0) -> None:
            await asyncio.sleep(30 * 86400)
            await bill(customer, months)
            await continue_as_new(customer, months + 1)

    For a run that goes on for years: a history is replayed whole, and has a limit. Id, note and whoever waits for the result stay;
    signals that nobody has received and a cancel that the code has not been told of wait for the new generation; tasks that are left are
    closed, as at the end of a run. All of it is one transaction. Idempotency keys are new: they contain the generation. The history of
    the generation before is kept, older ones are forgotten.

    Never returns, but leaves the code by a BaseException: `finally` blocks run, `except Exception` does not see it, a saga takes it for
    success. Raises BadInput where the arguments do not fit the workflow, NotAllowedInWorkflow in a task that the workflow has started.
    A run that was cancelled ends instead.
    """
    require_host("continue_as_new()").continue_as_new(args, kwargs)
    raise ContinuesAsNew
