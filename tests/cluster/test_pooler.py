"""F29: PgBouncer in transaction mode between workers and server: no session is the same for two transactions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.errors import StoreError
from perdure.store.postgresql.address import address_of
from perdure.store.postgresql.connections import connect
from tests.cluster.pooler import PROGRAM, Pooler
from tests.cluster.servers import PostgresServer, settle
from tests.cluster.view import PostgresqlView
from tests.crash import checker
from tests.crash.harness import Harness
from tests.crash.options import SHORT_LEASE
from tests.crash.processes import Zygote
from tests.crash.storm import Storm

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer here: `make test-cluster` installs it where it runs as root with apt")


@pytest.fixture
def pooler(shared_server: PostgresServer) -> Iterator[Pooler]:
    with Pooler(shared_server) as pooler:
        yield pooler


@pytest.fixture
def harness(shared_server: PostgresServer, pooler: Pooler, zygote: Zygote, tmp_path: Path) -> Iterator[Harness]:
    schema = f"pooled_{pooler.port}"
    with Harness(zygote, tmp_path, pooler.address(schema), PostgresqlView(shared_server.url(schema=schema))) as harness:
        harness.settings |= SHORT_LEASE
        yield harness


@pytest.mark.parametrize("seconds", [10.0, pytest.param(600.0, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_f29_workers_killed_and_stopped_behind_a_pooler_lose_nothing_and_do_nothing_twice(harness: Harness, seconds: float) -> None:
    storm = Storm(harness, seed=29)
    storm.rage(seconds)
    storm.heal()
    storm.look()
    print(f"{dict(storm.struck)}; {checker.summary(storm.before)}")
    assert storm.struck["killed with unfinished runs"]


def test_f29_a_pooler_that_is_killed_and_started_again_costs_time_and_nothing_else(harness: Harness, pooler: Pooler) -> None:
    storm = Storm(harness, seed=30)
    for _ in range(3):
        storm.keep_going()
        harness.wait(lambda: storm.all_are_ready, "all workers are ready")
        seen = len(harness.server.of("end"))
        harness.wait(lambda seen=seen: storm.keep_going() or len(harness.server.of("end")) > seen + 20, "steps end")
        pooler.kill()
        settle(0.5)
        pooler.start()
    storm.heal()
    assert not harness.server.of("point", point="fence.lost")


async def test_f29_a_pooler_that_nobody_told_of_is_named(pooler: Pooler) -> None:
    with pytest.raises(StoreError, match=r"\?pgbouncer=true"):
        await connect(address_of(pooler.address("any").replace("pgbouncer=true&", "")))
