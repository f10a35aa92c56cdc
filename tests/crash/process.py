"""A process of these tests: `python -m tests.crash.process OPTIONS` is a worker, or a client, with a fault laid into it."""

import asyncio
import gc
import logging
import resource
import signal
import sys
import tempfile
import threading
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from perdure import Client, Engine
from perdure.cli.stopping import Stopping
from perdure.clock import SECOND, HostClock
from perdure.engine.ports import Ports
from perdure.errors import NotRetryable, RunCancelled, RunEnded, RunFailed, RunNotFound, StoreError, StoreFailed, StoreNotFound
from perdure.settings import Settings
from perdure.store.sqlite import transactions
from perdure.store.sqlite.database import Database
from tests.crash import disk, effects, misbehaving, workload
from tests.crash.effects import tell
from tests.crash.options import Action, Crash, Lane, Options

WORKFLOWS = workload.WORKFLOWS | misbehaving.WORKFLOWS
PER_RUN = {"LiveRun", "Execution", "Attempt", "StepCommand", "Retrying", "Mailbox"}
STORE_FAILED = 70
log = logging.getLogger("tests.crash")
RETRY_SECONDS = 0.02


def main(text: str) -> int:
    options = Options.from_json(text)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    effects.connect(options.effects)
    workload.gates = Path(options.gates)
    points = Points(options.crash, options.tells)
    operations = disk.install(options.fault, options.journal)
    prepare(options)
    try:
        status = asyncio.run(live(options, points))
    except StoreFailed as error:
        log.critical("it cannot go on: %s", error)
        tell("store_failed")
        status = STORE_FAILED
    if options.counts:
        tell("counted", points=dict(points.passed), disk=operations())
    return status


def address_of(options: Options) -> str:
    return options.store if "://" in options.store else f"sqlite:///{options.store}"


def left_in_memory() -> dict[str, int]:
    """Objects of runs that nobody should hold any more, by their class."""
    gc.collect()
    return dict(Counter(type(one).__name__ for one in gc.get_objects() if type(one).__name__ in PER_RUN))


def prepare(options: Options) -> None:
    if options.files_most is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.files_most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if options.file_bytes_most is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_bytes_most, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    if options.wal_pages_most is not None:
        transactions.CHECKPOINT_PAGES = options.wal_pages_most
    if options.unsafe:
        sync_never()
    if options.elsewhere is not None:
        tempfile.tempdir = options.elsewhere


def sync_never() -> None:
    connect = Database._connect_writer

    def without_sync(database: Database) -> object:
        connection = connect(database)
        connection.pragma("synchronous", "off")
        return connection

    Database._connect_writer = without_sync


class MovedClock(HostClock):
    """As an administrator has set it."""

    def __init__(self, seconds: float) -> None:
        self._moved = round(seconds * SECOND)

    def now(self) -> int:
        return super().now() + self._moved


class Points:
    """Counts the passings of the engine's named points, and does there what is asked."""

    def __init__(self, crash: Crash | None, tells: tuple[str, ...]) -> None:
        self.passed: Counter[str] = Counter()
        self._crash = crash
        self._tells = tells

    def reached(self, point: str) -> None:
        self.passed[point] += 1
        if point in self._tells:
            tell("point", point=point)
        if self._crash is not None and self._crash.point == point and self._crash.kth == self.passed[point]:
            tell("struck", point=point, kth=self._crash.kth)
            signal.pthread_kill(threading.get_ident(), signal.SIGKILL if self._crash.do == "kill" else signal.SIGSTOP)


async def live(options: Options, points: Points) -> int:
    if options.role == "client":
        await act_as_client(options)
        return 0
    workflows = [one for name, one in WORKFLOWS.items() if options.workflows is None or name in options.workflows]
    ports = Ports(reached=points.reached, clock=MovedClock(options.clock_moved))
    engine = Engine(address_of(options), workflows, settings=Settings(**options.settings), ports=ports)
    stopping = Stopping(engine, asyncio.get_running_loop())
    stopping.listen()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(engine)
        stopping.is_serving = True
        misbehaving.engine[:] = [engine]
        tell("ready", incarnation=engine.worker.incarnation)
        disk.ready()
        engine.failure.add_done_callback(lambda _: stopping.asked.set())
        if options.collects_garbage:
            threading.Thread(target=collect_for_ever, daemon=True).start()
        acting = asyncio.create_task(act(engine, options.lanes))
        acting.add_done_callback(lambda _: stopping.asked.set() if is_over(acting, options) else None)
        await stopping.asked.wait()
        if options.counts:
            tell("left", objects=left_in_memory())
        if engine.failure.done():
            engine.failure.result()
        if acting.done():
            acting.result()
        acting.cancel()
    tell("stopped")
    return int(stopping.exit)


def is_over(acting: "asyncio.Task[None]", options: Options) -> bool:
    """Whether the process ends with what it had to do: then, and when it could not do it."""
    return not acting.cancelled() and (acting.exception() is not None or (bool(options.lanes) and not options.stays))


def collect_for_ever() -> None:
    while True:
        gc.collect()
        threading.Event().wait(0.001)


async def act_as_client(options: Options) -> None:
    while True:
        try:
            async with Client(address_of(options), settings=Settings(**options.settings)) as client:
                tell("ready")
                await act(client, options.lanes)
                return
        except StoreNotFound:
            await asyncio.sleep(RETRY_SECONDS)  # no worker has made it yet


async def act(client: Client, lanes: tuple[Lane, ...]) -> None:
    await asyncio.gather(*(act_in_order(client, lane) for lane in lanes))


async def act_in_order(client: Client, lane: Lane) -> None:
    for action in lane:
        while not await acknowledged(client, action):
            await asyncio.sleep(RETRY_SECONDS)


async def acknowledged(client: Client, action: Action) -> bool:
    """Whether the store has taken it. What is not acknowledged is done again, with the same id and the same key."""
    answer = None
    try:
        match action.do:
            case "start":
                await client.start(WORKFLOWS[action.name], *action.values, id=action.run)
            case "signal":
                await client.run(action.run).signal(action.name, *action.values, key=action.key)
            case "result":
                answer = await client.run(action.run).result()
            case "recorded":
                if len(await client.run(action.run).history()) < action.values[0]:
                    return False
            case "cancel":
                await client.run(action.run).cancel()
            case "pause":
                await client.run(action.run).pause()
            case "resume":
                await client.run(action.run).resume()
            case "retry":
                await client.run(action.run).retry()
            case "delete":
                await client.run(action.run).delete()
    except StoreFailed:
        raise
    except (RunEnded, NotRetryable):
        tell("refused", do=action.do, run=action.run, key=action.key)
        return True
    except (RunFailed, RunCancelled) as error:
        tell("ack", do=action.do, run=action.run, key=action.key, failed=str(error))
        return True
    except RunNotFound:
        if action.do != "delete":
            raise
        tell("refused", do=action.do, run=action.run, key=action.key)  # deleted by the call before, whose answer nobody got
        return True
    except StoreError as error:
        tell("unacknowledged", do=action.do, run=action.run, key=action.key, error=type(error).__name__)
        return False
    tell("ack", do=action.do, run=action.run, key=action.key, answer=answer)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
