"""F21 to F27, F41 to F43: the server and the way to it fail in every way while workers are busy; they go on by themselves."""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.cluster import server_storm
from tests.cluster.conftest import harness_on
from tests.cluster.server_storm import Fault, ServerStorm
from tests.cluster.servers import PostgresServer
from tests.crash import checker
from tests.crash.processes import Zygote
from tests.proxy import ProxyThread

SECONDS = float(os.environ.get("PERDURE_KILL_SECONDS", "20"))
FAULTS: dict[str, list[Fault]] = {
    "f21_f22_server": [
        server_storm.killed_with_all_its_backends,
        server_storm.shut_down_immediately,
        server_storm.shut_down_fast,
        server_storm.one_backend_killed,
    ],
    "f23_f24_f43_sessions": [server_storm.sessions_terminated, server_storm.replies_swallowed],
    "f26_f27_refusals": [
        server_storm.read_only_for_a_while,
        server_storm.no_connection_left,
        server_storm.conflicts,
        server_storm.stopped_for_a_while,
    ],
    "f25_f41_f42_network": [server_storm.cut_off, server_storm.connections_vanished, server_storm.slow_line],
}


@pytest.fixture
def seed() -> int:
    seed = int(os.environ.get("PERDURE_KILL_SEED", "0")) or Random().randrange(10**9)
    print(f"PERDURE_KILL_SEED={seed}", flush=True)
    return seed


@pytest.fixture
def storm(server: PostgresServer, zygote: Zygote, tmp_path: Path, seed: int) -> Iterator[ServerStorm]:
    with ProxyThread(server.host, server.port) as proxy, harness_on(server, zygote, tmp_path) as harness:
        yield ServerStorm(harness, server, proxy, seed)


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("rounds", [1, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_they_go_on_by_themselves_and_nothing_is_lost_or_done_twice(storm: ServerStorm, kind: str, rounds: int) -> None:
    for _ in range(rounds):
        for fault in FAULTS[kind]:
            storm.strike(fault)
    print(storm.told())
    storm.assert_nobody_was_restarted()
    storm.heal()
    storm.look()
    print(checker.summary(storm.before))
    storm.assert_they_went_on_in_time()
