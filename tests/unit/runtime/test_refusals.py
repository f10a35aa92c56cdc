"""I/O, threads and blocking calls in workflow code are refused before anything has happened, and the error names the user's line."""

import asyncio
import concurrent.futures
import linecache
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
import zoneinfo
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure import step, workflow
from perdure.errors import NotAllowedInWorkflow
from perdure.runtime import places
from perdure.runtime.commands import Raised
from tests.driving import VirtualEngine, replays_alike

HERE = __file__


coroutines: list[Coroutine[Any, Any, Any]] = []


def made(coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """To be closed after the test: it is refused before anyone awaits it."""
    coroutines.append(coroutine)
    return coroutine


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while coroutines:
        coroutines.pop().close()


def opens() -> None:
    with open(HERE):
        pass


def begins_thread() -> None:
    threading.Thread(target=print).start()


def submits_to_pool() -> None:
    concurrent.futures.ThreadPoolExecutor(1).submit(print)


def connects() -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 9))


def sends_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", ("127.0.0.1", 9))


def binds() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))


BLOCKING: dict[str, Callable[[], Any]] = {
    "open": opens,
    "os.open": lambda: os.open(HERE, os.O_RDONLY),
    "Path.read_text": lambda: Path(HERE).read_text(),
    "Path.iterdir": lambda: list(Path(HERE).parent.iterdir()),
    "os.scandir": lambda: os.scandir("."),
    "os.mkdir": lambda: os.mkdir("never"),
    "os.remove": lambda: os.remove("never"),
    "os.rename": lambda: os.rename("never", "ever"),
    "input": input,
    "socket.connect": connects,
    "socket.create_connection": lambda: socket.create_connection(("127.0.0.1", 9), 1),
    "socket.sendto": sends_datagram,
    "socket.bind": binds,
    "socket.getaddrinfo": lambda: socket.getaddrinfo("localhost", 80),
    "urlopen": lambda: urllib.request.urlopen("http://127.0.0.1:9/"),
    "subprocess.run": lambda: subprocess.run(["true"], check=False),
    "os.system": lambda: os.system("true"),
    "os.fork": os.fork,
    "os.posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "os.kill": lambda: os.kill(os.getpid(), 0),
    "Thread.start": begins_thread,
    "ThreadPoolExecutor.submit": submits_to_pool,
    "time.sleep": lambda: time.sleep(0),
    "time.sleep for long": lambda: time.sleep(1000),
    "sqlite3.connect": lambda: sqlite3.connect(":memory:"),
}

ASYNC: dict[str, Callable[[], Any]] = {
    "to_thread": lambda: asyncio.to_thread(print),
    "run_in_executor": lambda: asyncio.get_running_loop().run_in_executor(None, print),
    "open_connection": lambda: asyncio.open_connection("127.0.0.1", 9),
    "start_server": lambda: asyncio.start_server(print, "127.0.0.1", 0),
    "open_unix_connection": lambda: asyncio.open_unix_connection("never"),
    "create_subprocess_exec": lambda: asyncio.create_subprocess_exec("true"),
    "create_subprocess_shell": lambda: asyncio.create_subprocess_shell("true"),
    "getaddrinfo": lambda: asyncio.get_running_loop().getaddrinfo("localhost", 80),
    "add_reader": lambda: asyncio.get_running_loop().add_reader(0, print),
    "add_signal_handler": lambda: asyncio.get_running_loop().add_signal_handler(2, print),
    "call_soon_threadsafe": lambda: asyncio.get_running_loop().call_soon_threadsafe(print),
    "run_until_complete": lambda: asyncio.get_running_loop().run_until_complete(asyncio.Future()),
    "stop": lambda: asyncio.get_running_loop().stop(),
}


async def ask(what: Callable[[], Any]) -> None:
    answer = what()
    if asyncio.iscoroutine(answer) or asyncio.isfuture(answer):
        await answer


def refused(what: Callable[[], Any]) -> str:
    """How a workflow is refused that asks for this."""

    @workflow
    async def asks() -> None:
        await ask(what)

    with VirtualEngine(asks).run() as engine:
        outcome = engine.execution.outcome
        assert isinstance(outcome, Raised), outcome
        assert isinstance(outcome.error, NotAllowedInWorkflow), repr(outcome.error)
        return str(outcome.error)


@pytest.mark.parametrize("name", [*BLOCKING, *ASYNC])
def test_what_does_io_is_refused_with_the_line_and_what_to_do(name: str) -> None:
    told = refused((BLOCKING | ASYNC)[name])
    assert told.startswith(f"{HERE}:")
    assert "inside workflow code" in told
    assert told.endswith("move this into a step")


def test_the_very_line_is_named() -> None:
    assert refused(binds).startswith(f"{HERE}:{binds.__code__.co_firstlineno + 2} in binds: this opens a socket")


def test_the_line_is_that_of_the_user_also_where_a_library_does_it() -> None:
    def fetches() -> None:
        urllib.request.urlopen("http://localhost:9/")

    assert " in fetches" in refused(fetches)


def test_the_line_is_that_of_the_workflow_where_the_users_code_is_installed_like_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_INSTALLED", (f"{Path(HERE).parent}/", f"{Path(HERE).parents[1]}/", f"{Path(HERE).parents[2]}/"))

    assert " in asks" in refused(opens)


@pytest.mark.parametrize("run", [lambda: asyncio.run(made(never())), lambda: asyncio.Runner().run(made(never()))])
def test_another_event_loop_cannot_be_run_inside(run: Callable[[], Any]) -> None:
    @workflow
    async def nests() -> str:
        try:
            run()
        except RuntimeError as error:
            return str(error)
        return "it ran"

    with VirtualEngine(nests).run() as engine:
        assert "running event loop" in engine.result


async def never() -> None:
    raise AssertionError("it ran")


def test_a_refusal_can_be_caught_and_the_run_goes_on() -> None:
    @step
    async def reads() -> str:
        return Path(HERE).read_text()[:3]

    @workflow
    async def careful() -> str:
        try:
            opens()
        except NotAllowedInWorkflow:
            return await reads()
        return "opened"

    with VirtualEngine(careful).run() as engine:
        assert engine.result == '"""'
        replays_alike(engine)


def test_what_only_looks_like_io_is_allowed() -> None:
    """Imports, time zones, log records with their traceback, warnings."""
    for name in ("colorsys", "this_is_not_there"):
        sys.modules.pop(name, None)

    @workflow
    async def harmless() -> list[str]:
        import colorsys

        zoneinfo.ZoneInfo.clear_cache()
        zone = zoneinfo.ZoneInfo("Europe/Berlin")
        linecache.clearcache()
        try:
            raise ValueError("told")
        except ValueError:
            logging.getLogger("sample").exception("it failed")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("careful", stacklevel=1)
        try:
            import this_is_not_there
        except ImportError as error:
            return [colorsys.__name__, str(zone), str(caught[0].message), str(error.name), str(bool(print))]
        return [this_is_not_there.__name__]

    with VirtualEngine(harmless).run() as engine:
        assert engine.result == ["colorsys", "Europe/Berlin", "careful", "this_is_not_there", "True"]


def test_a_log_file_that_is_opened_late_is_written(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "late.log", delay=True)
    log = logging.getLogger("sample.file")
    log.addHandler(handler)

    @workflow
    async def logs() -> None:
        log.warning("from a workflow")

    try:
        with VirtualEngine(logs).run() as engine:
            assert engine.result is None
    finally:
        log.removeHandler(handler)
        handler.close()
    assert (tmp_path / "late.log").read_text() == "from a workflow\n"


def test_the_first_workflow_of_a_process_may_use_types_that_pydantic_has_to_learn() -> None:
    """Building its first schema, pydantic looks for plugins among the installed packages."""
    program = """
from dataclasses import dataclass
from perdure import receive, workflow
from perdure.model.records import Record, RecordKind
from perdure.runtime.execution import Execution

@dataclass
class Paid:
    amount: int

@workflow
async def waits() -> str:
    return type(await receive("paid", Paid)).__name__

execution = Execution("run-1", waits, b"{}", b"seed", 1000)
execution.apply(Record(1, 0, RecordKind.STARTED))
execution.apply(Record(2, 0, RecordKind.SIGNAL, "paid", output=b'{"amount": 3}'))
print(execution.outcome, waits.parameters.shape.whole is not None)
"""
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert child.stdout.strip() == """Returned(payload=b'"Paid"') True"""


def test_outside_runs_nothing_is_refused_also_in_steps_and_other_threads(tmp_path: Path) -> None:
    begun, finish, answers = threading.Event(), threading.Event(), []

    def works() -> None:
        begun.set()
        finish.wait(60)
        answers.append((tmp_path / "free").read_text())

    thread = threading.Thread(target=works)

    @step
    def reads() -> str:
        thread.start()
        begun.wait(60)
        (tmp_path / "free").write_text("free")
        return (tmp_path / "free").read_text()

    @workflow
    async def uses() -> str:
        answer = await reads()
        finish.set()
        while thread.is_alive():  # the thread reads while this run's code is executing
            pass
        return answer

    with VirtualEngine(uses).run() as engine:
        assert engine.result == "free"
    thread.join()
    assert answers == ["free"]
    assert Path(HERE).read_text()
    subprocess.run(["true"], check=True)


@pytest.mark.parametrize(
    ("waits", "words"),
    [
        (lambda: asyncio.wait([asyncio.gather(asyncio.sleep(1))]), "wrap it: asyncio.create_task"),
        (lambda: waits_for_each({made(asyncio.sleep(1)), made(asyncio.sleep(2))}), "give it a list"),
        (lambda: waits_for_each(iter([made(asyncio.sleep(1)), made(asyncio.sleep(2))])), "give it a list"),
        (lambda: waits_for_each([asyncio.create_task(asyncio.sleep(1)), made(asyncio.sleep(2))]), "wrap the coroutines"),
    ],
)
def test_b48_waiting_for_sets_whose_order_would_not_replay_is_refused_with_the_way_out(waits: Callable[[], Any], words: str) -> None:
    told = refused(waits)
    assert words in told
    assert told.startswith(HERE)


async def waits_for_each(given: Any) -> None:
    for one in asyncio.as_completed(given):
        await one


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300])
def test_f50_a_wait_of_no_length_or_without_end_is_refused(seconds: float) -> None:
    @workflow
    async def waits() -> str:
        try:
            await asyncio.sleep(seconds)
        except ValueError as error:
            return str(error)
        return "slept"

    with VirtualEngine(waits).run() as engine:
        assert "delay" in engine.result or "must be finite" in engine.result


def test_a_child_workflow_is_refused_while_there_are_none() -> None:
    @workflow
    async def child() -> int:
        return 1

    assert "'child'" in refused(child)
