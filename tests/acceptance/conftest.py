"""Every acceptance test may ask for a `stage`: a store in a place of its own, with a clock that can be moved."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.harness import Stage

ON_BOTH = (
    "test_g01_acknowledged_is_durable",
    "test_g02_one_record_per_position",
    "test_g03_steps_at_least_once",
    "test_g04_at_most_once",
    "test_g05_transactional_steps",
    "test_g06_start_is_idempotent",
    "test_g07_messages_exactly_once",
    "test_g08_order",
    "test_g09_timers",
    "test_g10_fencing",
    "test_g11_nothing_is_stranded",
    "test_g13_the_end_is_the_end",
    "test_g15_limits",
)
"""The promises that rest on the store: their tests run on SQLite and on PostgreSQL. What rests on the engine alone is shown once."""

OF_POSTGRESQL = ("test_postgresql_transactional_steps",)

PORTABLE = pytest.param("portable", marks=pytest.mark.long)
"""As databases are used that only speak PostgreSQL's protocol. The contract of the store shows it every time, the promises now and then."""

OF_SQLITE = {
    "test_a_start_is_not_acknowledged_before_its_commit": "looks into a transaction before its commit",
    "test_code_does_not_go_on_before_the_commit_that_holds_the_result": "the same",
    "test_more_signals_than_one_checkpoint_reads_keep_their_order": "sends all at once: only where one thread writes they have an order",
    "test_the_order_holds_although_the_clock_was_set_back_between_the_sends": "rests on a start and its claim being one transaction",
    "test_a_failing_sweep_is_met_again_and_finds_what_the_first_one_missed": "the same: on PostgreSQL the other engine may claim it",
    "test_a_death_that_could_not_be_written_down_is_written_down_by_the_next_sweep": "the same",
    "test_the_store_refuses_a_second_record_for_a_position": "by the error of this database; the contract shows it of both",
    "test_one_that_holds_the_database_too_long_fails_and_the_others_go_on": "there nobody else waits for it",
    "test_python_that_holds_the_database_too_long_is_undone_when_it_returns": "the same",
    "test_an_async_function_is_refused_by_sqlite": "and is what PostgreSQL wants",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stage" in metafunc.fixturenames:
        module, name = Path(metafunc.module.__file__).stem, metafunc.function.__name__
        is_on_both = module in ON_BOTH and name not in OF_SQLITE
        if module in OF_POSTGRESQL or name.startswith("test_on_postgresql_"):
            stores = ["postgresql"]
        else:
            stores = ["sqlite", "postgresql", PORTABLE] if is_on_both else ["sqlite"]
        metafunc.parametrize("stage", stores, indirect=True)


@pytest_asyncio.fixture
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, getattr(request, "param", "sqlite"))
    try:
        yield stage
    finally:
        await stage.close()
