"""F28, F44: the primary dies and its standby is promoted, with and without the last commits; workers find it and go on by themselves."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perdure.cli.main import perform
from perdure.store.postgresql.address import address_of
from perdure.store.postgresql.connections import Connections, Function
from perdure.store.protocol import UnknownOutcome
from tests.cluster.pair import Pair, new_pair
from tests.cluster.server_storm import BUSY_SECONDS, GOES_ON_SECONDS, RESULTS
from tests.crash import checker
from tests.crash.harness import Harness, resume, start
from tests.crash.processes import Zygote
from tests.crash.storm import Storm
from tests.waiting import wait_until


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with new_pair(is_synchronous=request.param == "synchronous") as pair:
        yield pair


@pytest.fixture
def harness(pair: Pair, zygote: Zygote, tmp_path: Path) -> Iterator[Harness]:
    with Harness(zygote, tmp_path, pair.address, pair.view()) as harness:
        yield harness


class Busy(Storm):
    """Two workers and a client, always something to do."""

    def until(self, condition: Callable[[], bool], what: str) -> None:
        def is_so() -> bool:
            self.keep_going()
            return condition()

        self._harness.wait(is_so, what, 60)

    def get_going(self) -> None:
        self.until(lambda: self.all_are_ready, "all workers are ready")
        self.until(lambda: len(self._harness.server.of("end")) > 50, "steps end")
        self.until(lambda: any(self._harness.store.owned_by(worker.pid) for worker in self._workers), "workers own unfinished runs")

    def assert_they_go_on(self, since: float) -> float:
        seen = len(self._harness.server.of("end"))
        self.until(lambda: len(self._harness.server.of("end")) >= seen + RESULTS, "steps end again")
        after = time.monotonic() - since
        assert all(worker.lives for worker in self._workers), self._harness.said()
        assert after < GOES_ON_SECONDS + BUSY_SECONDS
        return after

    @property
    def logs(self) -> str:
        return "".join(worker.log.read_text() for worker in self._workers)


@pytest.mark.parametrize("pair", ["synchronous"], indirect=True)
def test_f28_g17_a_synchronous_standby_has_all_that_was_acknowledged(pair: Pair, harness: Harness) -> None:
    busy = Busy(harness, seed=1)
    busy.get_going()
    pair.fail_over()
    after = busy.assert_they_go_on(time.monotonic())
    busy.heal()
    busy.look()
    print(f"went on after {after:.2f} s; {checker.summary(busy.before)}")
    assert "ERROR" not in busy.logs, busy.logs


@pytest.mark.parametrize("pair", ["synchronous"], indirect=True)
async def test_f28_what_waits_for_a_standby_is_not_taken_for_committed_however_long_it_takes(pair: Pair) -> None:
    """A driver that asks the server to cancel a COMMIT that takes too long, or that nobody waits for, makes it visible to everybody."""
    pair.primary.ask("create table notes (what text)")
    pair.cut_replication()
    connections = Connections(address_of(pair.primary.url()))

    def insert(what: str) -> Function[str]:
        return lambda db: db.execute("insert into notes values ($1)", what)

    cancelled = asyncio.create_task(connections.transact(insert("cancelled")))
    outcomes = asyncio.gather(
        connections.write(insert("in one statement")), connections.transact(insert("in a transaction")), cancelled, return_exceptions=True
    )
    sql = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
    await asyncio.to_thread(wait_until, lambda: pair.primary.ask(sql) == [(3,)], "all three wait for the standby")
    cancelled.cancel()

    assert [type(one) for one in await outcomes] == [UnknownOutcome, UnknownOutcome, asyncio.CancelledError]
    assert pair.primary.ask("select what from notes") == []
    await connections.close()


@pytest.mark.parametrize("pair", ["asynchronous"], indirect=True)
def test_f28_an_asynchronous_standby_that_has_everything_loses_nothing_and_nobody_is_alarmed(
    pair: Pair, harness: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.worker()
    assert perform(["doctor", "--store", pair.address, "-o", "json"]) == 0
    assert "followed by 1, none of them synchronous" in capsys.readouterr().out
    harness.act(*[(start("waits", f"held-{number}", "gate"),) for number in range(5)])
    harness.wait(lambda: len(harness.server.of("begin", step="gated")) == 5, "steps are under way")
    harness.wait(pair.has_all, "the standby has everything")
    pair.fail_over()
    harness.open_gate("gate")
    harness.wait_for_end()
    harness.check()
    assert set(harness.begun().values()) == {1}
    assert not any("ERROR" in process.log.read_text() for process in harness.processes)


@pytest.mark.parametrize("pair", ["asynchronous"], indirect=True)
def test_f28_commits_that_a_fail_over_has_lost_are_reported_and_no_run_goes_on_as_if_nothing_had_been(
    pair: Pair, harness: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = harness.worker()
    harness.act(*[(start("waits", f"early-{number}", "gate"),) for number in range(3)])
    harness.wait(lambda: len(harness.server.of("begin", step="gated")) == 3, "steps are under way")
    harness.wait(pair.has_all, "the standby has everything")
    pair.cut_replication()
    harness.act((start("waits", "lost", "never"),), (start("sequence", "lost-with-its-end", 3),))
    harness.open_gate("gate")
    harness.wait(lambda: [harness.store.state(f"early-{number}") for number in range(3)] == ["completed"] * 3, "they go on")
    harness.wait(lambda: harness.store.state("lost-with-its-end") == "completed", "it completes")

    pair.fail_over()
    harness.wait(lambda: "have lost" in worker.log.read_text() or "has lost" in worker.log.read_text(), "it is noticed")
    harness.wait(lambda: len(harness.store.rows("select 1 from runs where state = 'quarantined'")) == 3, "they are set aside")
    harness.act((start("sequence", "afterwards", 3),))
    harness.wait(lambda: harness.store.state("afterwards") == "completed", "the worker goes on")

    said = worker.log.read_text()
    assert "ERROR perdure.engine the store has lost acknowledged commits" in said
    assert "run lost is gone" in said
    assert "run lost-with-its-end is gone" in said
    for number in range(3):
        assert f"run early-{number} has lost its records" in said
        assert len(harness.store.rows("select 1 from troubles where run_id = ?", f"early-{number}")) == 1
    status = perform(["doctor", "--store", pair.address, "-o", "json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert status == 1
    assert any("were acknowledged" in one["what"] or "quarantined" in one["what"] for one in findings if one["level"] == "wrong")
    harness.act(*[(resume(f"early-{number}"),) for number in range(3)])
    harness.wait(lambda: [harness.store.state(f"early-{number}") for number in range(3)] == ["completed"] * 3, "people have let them go on")
    assert worker.lives
