"""Strikes the server, and the way to it, while workers and a client are busy; sees that they go on by themselves."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import asyncpg

from tests.cluster.servers import PostgresServer, settle, until_it_answers
from tests.crash.harness import Harness
from tests.crash.storm import Storm
from tests.proxy import Proxy, ProxyThread

GOES_ON_SECONDS = 5.0  # promised, from the moment at which the database answers again
BUSY_SECONDS = 5.0  # what a busy machine may add
RESULTS = 5  # so many steps have ended since: the workers go on

Fault = Callable[["ServerStorm"], None]


class ServerStorm(Storm):
    """Its workers are never killed: they live through all of it. They reach the server through a proxy."""

    def __init__(self, harness: Harness, server: PostgresServer, proxy: ProxyThread, seed: int) -> None:
        super().__init__(harness, seed)
        self.server = server
        self.proxy = proxy
        self.chance = Random(seed)
        self.went_on_after: list[tuple[float, str]] = []
        self.schema = harness.path.partition("?schema=")[2]
        harness.through = harness.path.replace(f":{server.port}/", f":{proxy.port}/")

    def strike(self, fault: Fault) -> None:
        """Once workers own unfinished runs; returns when they have gone on."""
        self.keep_going()
        self._until(lambda: self.all_are_ready, "all workers are ready")
        self._let_happen(self.chance.randint(5, 60))
        self._until(lambda: any(self._harness.store.owned_by(worker.pid) for worker in self._workers), "workers own unfinished runs")
        fault(self)
        answered = until_it_answers(self.server)
        seen = len(self._harness.server.of("end"))
        self._until(lambda: len(self._harness.server.of("end")) >= seen + RESULTS, "steps end again")
        name = fault.__name__.replace("_", " ")
        self.went_on_after.append((time.monotonic() - answered, name))
        self.struck[name] += 1
        self.look()

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        """While a client sees to it that there is something to do."""

        def is_so() -> bool:
            self.keep_going()
            return condition()

        self._harness.wait(is_so, what, 60)

    def assert_nobody_was_restarted(self) -> None:
        assert all(worker.lives for worker in self._workers), self._harness.said()
        assert len([one for one in self._harness.processes if one.options.role == "worker"]) == len(self._workers)

    def assert_they_went_on_in_time(self) -> None:
        assert max(self.went_on_after)[0] < GOES_ON_SECONDS + BUSY_SECONDS, self.told()

    def told(self) -> str:
        times = sorted(self.went_on_after)
        return f"{dict(self.struck)}; went on after p50 {times[len(times) // 2][0]:.2f} s, at most {times[-1][0]:.2f} s ({times[-1][1]})"


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def killed_with_all_its_backends(storm: ServerStorm) -> None:
    storm.server.kill()
    settle(storm.chance.uniform(0, 2))
    storm.server.start(wait=False)


def shut_down_immediately(storm: ServerStorm) -> None:
    storm.server.stop("immediate")
    storm.server.start(wait=False)


def shut_down_fast(storm: ServerStorm) -> None:
    storm.server.stop("fast")
    settle(storm.chance.uniform(0, 1))
    storm.server.start(wait=False)


def one_backend_killed(storm: ServerStorm) -> None:
    """The postmaster ends every other one and recovers by itself."""
    sql = "select pid from pg_stat_activity where application_name = 'perdure' order by random() limit 1"
    for (pid,) in storm.server.ask(sql):
        os.kill(pid, signal.SIGKILL)
    settle(0.2)


def sessions_terminated(storm: ServerStorm) -> None:
    for _ in range(5):
        storm.server.ask("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'perdure'")
        settle(storm.chance.uniform(0, 0.1))


def read_only_for_a_while(storm: ServerStorm) -> None:
    storm.server.set(default_transaction_read_only="on")
    settle(1.5)
    storm.server.set(default_transaction_read_only="off")


def stopped_for_a_while(storm: ServerStorm) -> None:
    with storm.server.standing_still():
        settle(2.0)


def no_connection_left(storm: ServerStorm) -> None:
    with hogged(storm.server):
        settle(1.5)


def conflicts(storm: ServerStorm) -> None:
    """Every third statement that writes is refused, in turn as a serialization failure and as a deadlock."""
    with refusing(storm.server, storm.schema, ("40001", "40P01")):
        settle(1.0)


def replies_swallowed(storm: ServerStorm) -> None:
    before = storm.proxy.proxy.swallowed
    wanted = storm.chance.choice([b"commit", b"B\0\0"])
    storm.proxy.tell(lambda proxy: proxy.swallow(wanted, times=3))
    settle(1.0)
    storm.proxy.tell(lambda proxy: proxy.swallow(b"", times=0))
    storm.struck["replies"] += storm.proxy.proxy.swallowed - before


def cut_off(storm: ServerStorm) -> None:
    storm.proxy.tell(Proxy.cut)
    settle(storm.chance.uniform(0.5, 3))
    storm.proxy.tell(Proxy.mend)


def connections_vanished(storm: ServerStorm) -> None:
    """Those that there were stay half-open for ever; new ones get through again after a while."""
    storm.proxy.tell(Proxy.vanish)
    settle(storm.chance.uniform(0.5, 2))
    storm.proxy.tell(Proxy.mend)


def slow_line(storm: ServerStorm) -> None:
    """A tenth of a second for each message, a few bytes at a time."""
    storm.proxy.tell(lambda proxy: vars(proxy).update(delay_seconds=0.1, piece_bytes=7))
    settle(2.0)
    storm.proxy.tell(lambda proxy: vars(proxy).update(delay_seconds=0.0, piece_bytes=65536))


@contextmanager
def hogged(server: PostgresServer) -> Iterator[None]:
    """Somebody else has every connection that the server gives."""
    loop, is_over = asyncio.new_event_loop(), threading.Event()

    async def hog() -> None:
        held = []
        while not is_over.is_set():
            try:
                held.append(await asyncpg.connect(server.url(), server_settings={"application_name": "hog"}))
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await held[0].execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'perdure'")
                await asyncio.sleep(0.02)
        for db in held:
            db.terminate()
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(hog()))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        loop.close()


@contextmanager
def refusing(server: PostgresServer, schema: str, codes: tuple[str, ...]) -> Iterator[None]:
    """The server itself raises these errors in a third of all statements that write to histories, runs or workers."""
    choices = " ".join(f"when {number} then raise exception using errcode = '{code}';" for number, code in enumerate(codes))
    server.ask(
        f"create function {schema}.refuse() returns trigger language plpgsql as $$ begin "
        f"if random() < 0.33 then case floor(random() * {len(codes)})::int {choices} end case; end if; return null; end $$"
    )
    tables = [table for table in ("history", "runs", "workers") if server.ask("select to_regclass($1)", f"{schema}.{table}")[0][0]]
    for table in tables:
        server.ask(
            f"create trigger refusing after insert or update on {schema}.{table} for each statement execute function {schema}.refuse()"
        )
    try:
        yield
    finally:
        server.ask(f"drop function {schema}.refuse() cascade")
