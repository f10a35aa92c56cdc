"""Mistakes of users, as a strict type checker has to find them: each line that ends with `# error: CODE`, and no other. Never executed."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from perdure import Client, Engine, Retry, Run, continue_as_new, info, receive, saga, sleep_until, step, testing, workflow


@dataclass
class Order:
    id: str


@dataclass
class Receipt:
    number: str


@step
async def charge(order: Order, tip: int = 0) -> Receipt:
    return Receipt(order.id)


@step
def plain(number: int) -> str:
    return number  # error: return-value


@step(transaction=True)
def book(db: object, amount: int) -> int:
    return amount


@step(retries=3)  # error: call-overload, untyped-decorator
async def misspelt(number: int) -> str:
    return str(number)


@step(transaction=True, at_most_once=True)  # error: call-overload, untyped-decorator
def both(db: object) -> None: ...


@workflow  # error: arg-type
def not_async(order: Order) -> Receipt:
    return Receipt(order.id)


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@workflow
async def fulfil(order: Order) -> Receipt:
    await charge("order-1")  # error: arg-type
    await charge(order, tip="5")  # error: arg-type
    await charge()  # error: call-arg
    await charge(order, discount=5)  # error: call-arg
    await charge.options(timeout=5)("order-1")  # error: arg-type
    await charge.options(timeout="5")(order)  # error: arg-type
    await charge.options(retry=3)(order)  # error: arg-type
    charge.options(attempts=3)  # error: call-arg
    charge(order)  # error: unused-coroutine
    number: int = await plain(1)  # error: assignment
    print(charge(order).number)  # error: attr-defined
    await book(object(), 5)  # error: call-arg, arg-type
    await book("5")  # error: arg-type
    return await charge(order), number  # error: return-value


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@workflow
async def waits() -> str:
    paid: int = await receive("paid", Receipt)  # error: arg-type
    await receive(5)  # error: call-overload
    await receive("paid", int, timeout="1 h")  # error: call-overload
    topic: int = (await receive({"paid": int}))[0]  # error: assignment
    receive("paid")  # error: unused-coroutine
    await sleep_until("tomorrow")  # error: arg-type
    await sleep_until(5)  # error: arg-type
    info().run_id = "another"  # error: misc
    key: str = info().idempotency_key  # error: assignment
    receipt, text = await asyncio.gather(charge(Order("1")), plain(1))
    receipt.upper()  # error: attr-defined
    print(text.number)  # error: attr-defined
    return paid, topic, key  # error: return-value


@workflow
async def undoes(order: Order) -> None:
    async with saga() as undo:
        undo(charge, "order-1")  # error: arg-type
        undo(charge)  # error: call-arg
        undo(print, order)  # error: arg-type
        undo(charge(order))  # error: arg-type
    await continue_as_new(order)
    print("never")  # error: unreachable


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def uses(order: Order) -> None:
    Engine("sqlite:///orders.db", [charge])  # error: list-item
    Engine("sqlite:///orders.db", fulfil)  # error: arg-type
    Engine("sqlite:///orders.db", [fulfil], retention={"completed": "30 days"})  # error: dict-item
    Engine("sqlite:///orders.db", [fulfil], on_trouble=print)  # error: arg-type
    async with Client("sqlite:///orders.db") as client:
        await client.start(charge, order)  # error: call-overload
        await client.start(5)  # error: call-overload
        await client.start(fulfil, order, id=5)  # error: call-overload
        run = await client.start(fulfil, order)
        text: str = await run.result()  # error: assignment
        other: Run[str] = run  # error: assignment
        await run.signal(5)  # error: arg-type
        await run.signal("paid", 5, key=5)  # error: arg-type
        run.cancel()  # error: unused-coroutine
        print(run.result().number)  # error: attr-defined
        print((await run.status()).status)  # error: attr-defined
        await client.runs(limit="10")  # error: arg-type
        print(text, other)


def blocks(order: Order) -> None:
    with Client.blocking("sqlite:///orders.db") as client:
        text: str = client.start(fulfil, order).result()  # error: assignment
        client.runs(limit="10")  # error: arg-type
        print(text)


Retry(attempts="3")  # error: arg-type
Retry(3)  # error: call-arg
Retry(dont_retry=KeyError)  # error: arg-type
Retry(dont_retry=(KeyboardInterrupt,))  # error: arg-type


# ── tests ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def in_tests(order: Order) -> None:
    async with testing.engine([fulfil], start="2026-01-01") as engine:  # error: arg-type
        engine.fake(len, 5)  # error: arg-type
        await engine.skip(weeks=1)  # error: call-arg
        await engine.skip_to(5)  # error: arg-type
        run = await engine.start(fulfil, order)
        text: str = await engine.finish(run)  # error: arg-type
        engine.at(datetime.now(), 5)  # error: arg-type
        print(text)
    await testing.crash_everywhere(charge, order)  # error: arg-type
