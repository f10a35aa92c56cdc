"""Programs of users, as a strict type checker has to accept them, and the types that it has to find. Never executed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal, assert_type
from uuid import UUID

import apsw

from perdure import (
    Client,
    Engine,
    Info,
    Retry,
    Run,
    RunStatus,
    Trouble,
    continue_as_new,
    info,
    now,
    patched,
    random,
    receive,
    saga,
    set_status,
    sleep_until,
    step,
    testing,
    uuid4,
    workflow,
)
from perdure.errors import RetryAfter, RunFailed, StepFailed
from perdure.run import Page, RunRecord
from perdure.testing import CrashReport, Ending, Signal, VirtualEngine


@dataclass
class Order:
    id: str
    amount: int


@dataclass
class Receipt:
    number: str


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@step
async def charge(order: Order, tip: int = 0, *, note: str = "") -> Receipt:
    if tip > order.amount:
        raise RetryAfter(timedelta(minutes=5), note)
    return Receipt(order.id)


@step
def plain(number: int) -> str:
    return str(number)


@step(name="refund money", retry=Retry(attempts=3, initial=timedelta(seconds=1), dont_retry=(KeyError,)), timeout=30, at_most_once=True)
async def refund(receipt: Receipt) -> None: ...


@step(timeout=timedelta(minutes=1))
def configured(number: int) -> str:
    return str(number)


@step(transaction=True)
def book(db: apsw.Connection, amount: int) -> int:
    db.execute("insert into bookings values (?)", (amount,))
    return amount


@step()
async def bare_call(names: list[str]) -> dict[str, int]:
    return {name: len(name) for name in names}


# ── workflows ────────────────────────────────────────────────────────────────────────────────────────────────────────


@workflow
async def fulfil(order: Order, express: bool = False) -> Receipt:
    receipt = await charge(order, 5, note="quick")
    assert_type(receipt, Receipt)
    assert_type(await plain(1), str)
    assert_type(await configured(number=1), str)
    assert_type(await book(5), int)
    assert_type(await bare_call(["a"]), dict[str, int])
    assert_type(await charge.options(timeout=5)(order, tip=1), Receipt)
    assert_type(await plain.options(retry=Retry(attempts=2), timeout=timedelta(seconds=5))(1), str)
    await refund(receipt)
    if express and patched("express"):
        set_status({"order": order.id})
    return receipt


@workflow(name="waits for everything")
async def waits(days: float) -> str:
    assert_type(await receive("paid", Receipt), Receipt)
    assert_type(await receive("paid", int, timeout=timedelta(days=days)), int)
    assert_type(await receive("anything"), Any)
    maybe: int | None = await receive("perhaps", int | None)
    colour: str = await receive("colour", Literal["red", "green"])
    set_status((maybe, colour))
    topic, value = await receive({"paid": Receipt, "refused": str}, timeout=60)
    assert_type(topic, str)
    assert_type(value, Any)
    await sleep_until(datetime(2026, 1, 1, tzinfo=UTC))
    await asyncio.sleep(days)
    assert_type(now(), datetime)
    assert_type(uuid4(), UUID)
    assert_type(random(), Random)
    assert_type(info(), Info)
    assert_type(info().idempotency_key, str | None)
    async with asyncio.timeout(3600):
        assert_type(await plain(2), str)
    return await asyncio.wait_for(plain(3), timeout=5)


@workflow
async def at_once(order: Order) -> list[str]:
    receipt, text = await asyncio.gather(charge(order), plain(1))
    assert_type(receipt, Receipt)
    assert_type(text, str)
    several = await asyncio.gather(*(plain(number) for number in range(3)))
    assert_type(several, list[str])
    maybe = await asyncio.gather(plain(1), plain(2), return_exceptions=True)
    assert_type(maybe, tuple[str | BaseException, str | BaseException])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(charge(order))
    assert_type(task.result(), Receipt)
    done, _ = await asyncio.wait([asyncio.create_task(plain(4))])
    return [one.result() for one in done]


@workflow
async def undoes(order: Order) -> None:
    async with saga() as undo:
        receipt = await charge(order)
        undo(refund, receipt)
        undo(refund.options(timeout=5), receipt)
        undo(plain, number=1)


@workflow
async def goes_on(order: Order, months: int = 0) -> None:
    try:
        await fulfil(order)
    except StepFailed as error:
        assert_type(error.type, str)
    await continue_as_new(order, months + 1)


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def tell(trouble: Trouble) -> None:
    assert_type(trouble.key, str)


async def uses(order: Order) -> None:
    async with Engine(
        "sqlite:///orders.db", [fulfil, waits, undoes], on_trouble=tell, retention={"completed": timedelta(days=1)}
    ) as engine:
        assert_type(engine, Engine)
        run = await engine.start(fulfil, order, express=True, id="order-1")
        assert_type(run, Run[Receipt])
        assert_type(await run.result(timeout=60), Receipt)
        await run.signal("paid", {"amount": 5}, key="payment-1")
        await run.cancel(grace=timedelta(minutes=1))
    async with Client("sqlite:///orders.db", namespace="tests") as client:
        by_name = await client.start("fulfil", order=order)
        assert_type(await by_name.result(), Any)
        assert_type(await client.run("order-1").status(), RunStatus)
        assert_type(await client.run("order-1").history(), list[RunRecord])
        assert_type(await client.runs(workflow="fulfil", status="failed", limit=10), Page)
        await client.start(fulfil, "no order")  # no type can show it, for nothing may follow P.args but P.kwargs: start raises BadInput
    await outside(order)


async def outside(order: Order) -> None:
    """Called outside a run, steps and workflows are ordinary functions."""
    assert_type(await charge(order), Receipt)
    assert_type(await fulfil(order), Receipt)
    assert_type(plain.name, str)


async def handed_on(run: Run) -> Any:
    """A handle of whatever result needs no parameter."""
    try:
        return await run.result()
    except RunFailed as error:
        return error.__cause__


def blocks() -> None:
    with Client.blocking("sqlite:///orders.db") as client:
        assert_type(client.start(fulfil, Order("1", 5)).result(timeout=5), Receipt)
        client.start("fulfil", order={"id": "1", "amount": 5}).signal("paid", 5)


# ── tests ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def world(engine: VirtualEngine) -> Callable[[], object]:
    engine.fake(charge, lambda order, tip, *, note: Receipt(order.id))
    return lambda: len(engine.calls(charge))


async def in_tests(order: Order) -> None:
    async with testing.engine([fulfil], start=datetime(2026, 1, 1, tzinfo=UTC), real_steps=False) as engine:
        engine.fake(charge, each=[ConnectionError("down"), Receipt("1")], takes=5)
        run = await engine.start(fulfil, order)
        await engine.skip(hours=48)
        assert_type(await engine.finish(run), Receipt)
        assert_type(await engine.export(run), bytes)
    report = await testing.crash_everywhere(fulfil, order, prepare=world, signals=[Signal("paid", 5, after=60)])
    assert_type(report, CrashReport)
    assert_type(await testing.every_order(fulfil, order, orders_steps=True), list[Ending])
