"""What a workflow logs is heard once: when it happens, not when it is replayed."""

import asyncio
import gc
import logging
import threading

import pytest

from perdure import step, workflow
from tests.driving import VirtualEngine, new_execution, replay

log = logging.getLogger("sample")


@step
async def act(value: int) -> int:
    log.info("step %d", value)
    return value


@workflow
async def logs() -> int:
    for number in range(3):
        log.info("before %d", number)
        await act(number)
    log.critical("at the end")
    return 3


def heard(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.message for record in caplog.records if record.name == "sample"]
    caplog.clear()
    return messages


def test_a_replay_is_silent_and_what_follows_it_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with VirtualEngine(logs).run() as engine:
        assert heard(caplog) == ["before 0", "step 0", "before 1", "step 1", "before 2", "step 2", "at the end"]
        for k in range(1, 5):
            execution = new_execution(logs, engine.payload)
            list(replay(execution, engine.history, live_after=k))
            assert heard(caplog) == ["before 1", "before 2", "at the end"][k - 1 :]


def test_a_replay_silences_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    @workflow
    async def asks_a_thread() -> None:
        log.info("unheard")
        ask.set()
        while not told.is_set():  # the thread logs while this run's code is replaying
            pass

    ask, told = threading.Event(), threading.Event()

    def speaks() -> None:
        ask.wait(60)
        log.info("heard")
        told.set()

    thread = threading.Thread(target=speaks)
    thread.start()
    execution = new_execution(asks_a_thread, b"{}")
    with VirtualEngine(logs).start() as engine:
        list(replay(execution, engine.history))
    thread.join()
    assert "heard" in heard(caplog)
    log.info("after")
    assert heard(caplog) == ["after"]


def test_an_error_nobody_awaited_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    @workflow
    async def forgets() -> int:
        async def fails() -> None:
            raise ValueError("forgotten")

        asyncio.create_task(fails())  # noqa: RUF006 # the run holds it
        await asyncio.sleep(1)
        return await act(1)

    with VirtualEngine(forgets).run() as engine:
        gc.collect()  # asyncio complains when the task goes
        told = [record for record in caplog.records if "never retrieved" in record.message]
        assert len(told) == 1
        assert "run-1" in told[0].message
        caplog.clear()
        for length in (len(engine.history), 2):
            execution = new_execution(forgets, engine.payload)
            list(replay(execution, engine.history[:length], live_after=length))
            execution.close()
            del execution
            gc.collect()
        assert caplog.records == []


def test_a_filter_or_handler_of_any_level_hears_nothing_of_a_replay() -> None:
    records: list[logging.LogRecord] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    listener = Listener(level=logging.NOTSET)
    log.addHandler(listener)
    try:
        with VirtualEngine(logs).run() as engine:
            assert records
            records.clear()
            list(replay(new_execution(logs, engine.payload), engine.history))
    finally:
        log.removeHandler(listener)
    assert records == []
