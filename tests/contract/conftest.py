"""Each test of the contract runs on each kind of store there is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure.store.protocol import Store
from tests.contract.acting import ManualClock, Worker
from tests.contract.places import KINDS, Place

OF_SQLITE = {
    "test_damaged_rows": "PostgreSQL holds its constraints and checks its pages by itself",
    "test_damaged_inbox": "on PostgreSQL the checksum of a signal leaves out its number and its arrival",
}
"""Parts of the contract that another store need not keep, and why."""

HINTS = {
    "test_a_change_by_another_store_calls_back",
    "test_a_change_by_another_store_is_seen_while_this_one_writes_too",
    "test_callbacks_come_on_the_event_loop_and_end_when_they_are_stopped",
}
"""There are none in the portable profile: polling finds everything."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames:
        kinds = [name for name, kind in KINDS.items() if kind.is_shared or "shared" not in metafunc.fixturenames]
        if Path(metafunc.module.__file__).stem in OF_SQLITE:
            kinds = [kind for kind in kinds if kind.startswith("sqlite")]
        if metafunc.function.__name__ in HINTS:
            kinds.remove("portable")
        metafunc.parametrize("place", kinds, indirect=True)


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Place]:
    place = KINDS[request.param].make(tmp_path, clock)
    yield place
    await place.close()


@pytest.fixture
async def store(place: Place) -> Store:
    return await place.open()


@pytest.fixture
async def worker(store: Store) -> Worker:
    return await Worker(store, "worker-1").register()


@pytest.fixture
def shared(place: Place) -> Place:
    """A place on which a second store sees what the first one wrote; who asks for it runs on no other."""
    return place
