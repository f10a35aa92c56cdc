"""How long is waited for a store that does not answer."""

from collections.abc import Awaitable, Callable
from itertools import islice

import pytest

from perdure.engine.patience import insist, pauses
from perdure.errors import StoreFailed, StoreUnavailable
from perdure.settings import Settings

QUICK = Settings(store_retry_seconds_first=0.0001, store_retry_seconds_most=0.0004)


def failing(error: Exception, times: int) -> tuple[Callable[[], Awaitable[str]], list[Exception]]:
    raised: list[Exception] = []

    async def call() -> str:
        if len(raised) < times:
            raised.append(error)
            raise error
        return "answered"

    return call, raised


def test_pauses_double_up_to_a_limit_and_never_end() -> None:
    assert list(islice(pauses(Settings(store_retry_seconds_first=0.5, store_retry_seconds_most=3.0)), 6)) == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]


async def test_a_call_is_repeated_until_the_store_answers() -> None:
    call, raised = failing(StoreUnavailable("busy"), times=5)
    assert await insist(call, QUICK, "a test") == "answered"
    assert len(raised) == 5


@pytest.mark.parametrize("error", [StoreFailed("the disk failed to sync"), ValueError("a mistake of ours")], ids=repr)
async def test_what_only_a_new_process_or_a_fix_can_help_is_raised_at_once(error: Exception) -> None:
    call, raised = failing(error, times=5)
    with pytest.raises(type(error)):
        await insist(call, QUICK, "a test")
    assert len(raised) == 1
