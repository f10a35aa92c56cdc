"""A server of its own for each process of a test run, a schema for each test; and the harness of the crash tests on it."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.cluster.servers import PostgresServer
from tests.cluster.view import PostgresqlView
from tests.crash.conftest import pytest_make_parametrize_id, zygote
from tests.crash.harness import Harness
from tests.crash.processes import Zygote

__all__ = ["pytest_make_parametrize_id", "zygote"]
numbers = count(1)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[PostgresServer]:
    """For tests that do no harm to it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """For a test that does."""
    with PostgresServer() as server:
        yield server


def harness_on(server: PostgresServer, zygote: Zygote, folder: Path) -> Harness:
    address = server.url(schema=f"test_{next(numbers)}")
    return Harness(zygote, folder, address, PostgresqlView(address))


@pytest.fixture
def harness(shared_server: PostgresServer, zygote: Zygote, tmp_path: Path) -> Iterator[Harness]:
    with harness_on(shared_server, zygote, tmp_path) as harness:
        yield harness


@pytest.fixture
def harness_of_its_own(server: PostgresServer, zygote: Zygote, tmp_path: Path) -> Iterator[Harness]:
    """On the server that the test may harm."""
    with harness_on(server, zygote, tmp_path) as harness:
        yield harness


@pytest.fixture
def new_harness(shared_server: PostgresServer, zygote: Zygote, tmp_path: Path) -> Iterator[Callable[[], Harness]]:
    """For tests that do the same many times: each time a schema of its own; the last one is left first."""
    opened: list[Harness] = []

    def new() -> Harness:
        for one in opened:
            one.__exit__()
        opened.append(harness_on(shared_server, zygote, tmp_path / f"{len(opened)}").__enter__())
        return opened[-1]

    yield new
    for one in opened:
        one.__exit__()
