"""What user code logs is heard once, and says which run is speaking."""

import asyncio
import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from perdure import Retry, receive, step, workflow
from perdure.logging import RunContext, is_replaying
from tests.acceptance.harness import Stage

log = logging.getLogger("shop")


@step
async def reserve(order: str) -> str:
    log.info("reserving %s", order)
    return order


@step(retry=Retry(attempts=2, initial=0))
def charge() -> str:
    log.info("charging")
    if "attempt=1" in RunContextOfNow():
        raise ConnectionError("try again")
    return "charged"


@step(transaction=True)
def note(db: Any) -> None:
    log.info("noting")


def RunContextOfNow() -> str:  # noqa: N802 - reads as the field it gives
    record = log.makeRecord("shop", logging.INFO, "", 0, "", (), None)
    RunContext().filter(record)
    return str(record.__dict__["run_context"])


replayed: list[bool] = []


@workflow
async def fulfil(order: str) -> str:
    replayed.append(is_replaying())
    log.info("begins")
    await asyncio.gather(reserve(order), charge())
    await note()
    paid = await receive("paid", str)
    log.info("paid")
    return paid


@pytest.fixture
def heard() -> Iterator[io.StringIO]:
    """What a handler writes that has nothing but the filter and a format."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.addFilter(RunContext())
    handler.setFormatter(logging.Formatter("%(message)s%(run_context)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield text
    log.removeHandler(handler)
    log.setLevel(level)


async def test_each_line_says_its_run_step_and_attempt_and_is_heard_once_although_the_run_is_replayed(
    stage: Stage, heard: io.StringIO
) -> None:
    replayed.clear()
    log.info("outside")
    engine = await stage.engine(fulfil)
    run = await engine.start(fulfil, "A-1", id="order-1")
    await stage.until_state(run, "waiting")
    await stage.stop(engine)
    engine = await stage.engine(fulfil)
    await engine.run("order-1").signal("paid", "90")
    assert await engine.run("order-1").result(30) == "90"

    assert sorted(heard.getvalue().splitlines()) == sorted(
        [
            "outside",
            "begins [run_id=order-1 workflow=fulfil]",
            "reserving A-1 [run_id=order-1 workflow=fulfil step=reserve attempt=1]",
            "charging [run_id=order-1 workflow=fulfil step=charge attempt=1]",
            "charging [run_id=order-1 workflow=fulfil step=charge attempt=2]",
            "noting [run_id=order-1 workflow=fulfil step=note attempt=1]",
            "paid [run_id=order-1 workflow=fulfil]",
        ]
    )
    assert replayed[0] is False
    assert set(replayed[1:]) == {True}
    assert not is_replaying()


async def test_a_replay_is_silent_also_where_somebody_took_the_record_factory_of_logging(stage: Stage, heard: io.StringIO) -> None:
    @workflow
    async def speaks() -> None:
        log.info("once")
        await receive("go")

    engine = await stage.engine(speaks)
    run = await engine.start(speaks, id="order-1")
    await stage.until_parked(engine, run)
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    try:
        await run.signal("go")
        await run.result(30)
    finally:
        logging.setLogRecordFactory(factory)

    assert heard.getvalue() == "once [run_id=order-1 workflow=speaks]\n"


async def test_what_a_record_says_of_itself_stays(stage: Stage, heard: io.StringIO) -> None:
    records: list[logging.LogRecord] = []

    @step
    async def speaks() -> None:
        log.info("mine", extra={"run_id": "of another system", "workflow": "x"})
        log.info("plain")

    @workflow
    async def flow() -> None:
        await speaks()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    listener = Listener()
    listener.addFilter(RunContext())
    log.addHandler(listener)
    engine = await stage.engine(flow)
    await (await engine.start(flow, id="order-1")).result(30)
    log.removeHandler(listener)

    fields = [(record.__dict__["run_id"], record.__dict__["workflow"], record.__dict__["step"]) for record in records]
    assert fields == [("of another system", "x", "speaks"), ("order-1", "flow", "speaks")]
