"""The order: paid in time, in parts, late, never; killed everywhere."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from examples.order_fulfilment import Order, OutOfStock, Payment, fulfil, release, reserve, ship
from perdure import info, testing
from perdure.errors import RunFailed
from perdure.testing import Signal, VirtualEngine

KETTLE = Order("1", "kettle", 4900)


async def test_a_paid_order_is_shipped() -> None:
    async with testing.engine([fulfil]) as engine:
        engine.fake(ship, "parcel-7")
        run = await engine.start(fulfil, KETTLE)
        await engine.skip(hours=30)
        await run.signal("paid", Payment(4900, "card-77"), key="card-77")
        receipt = await run.result()
        assert (receipt.state, receipt.tracking) == ("shipped", "parcel-7")


async def test_a_part_of_the_price_is_not_enough() -> None:
    async with testing.engine([fulfil]) as engine:
        run = await engine.start(fulfil, KETTLE)
        await run.signal("paid", Payment(900, "card-1"))
        status = await run.status()
        assert (status.state, status.note) == ("waiting", "4000 left to pay")
        assert not engine.calls(ship)


async def test_an_order_that_nobody_pays_gives_the_goods_back_after_two_days() -> None:
    async with testing.engine([fulfil], start=datetime(2026, 2, 27, tzinfo=UTC)) as engine:
        run = await engine.start(fulfil, KETTLE)
        assert (await engine.finish(run)).state == "expired"
        assert engine.now == datetime(2026, 3, 1, tzinfo=UTC)
        assert [call.arguments["reservation"] for call in engine.calls(release)] == [call.result for call in engine.calls(reserve)]


async def test_a_warehouse_that_is_down_is_asked_again_and_one_that_is_empty_is_not() -> None:
    async with testing.engine([fulfil]) as engine:
        engine.fake(reserve, each=[ConnectionError("down"), ConnectionError("down"), OutOfStock("kettle")])
        run = await engine.start(fulfil, KETTLE)
        with pytest.raises(RunFailed, match="OutOfStock: kettle"):
            await engine.finish(run)
        assert len(engine.calls(reserve)) == 3


def a_warehouse(engine: VirtualEngine) -> Callable[[], object]:
    """Answers a repeated request with the first answer, as its idempotency key asks it to."""
    reservations: dict[str | None, str] = {}
    parcels: dict[str | None, str] = {}
    engine.fake(reserve, lambda order: reservations.setdefault(info().idempotency_key, f"reservation of {order.item}"))
    engine.fake(ship, lambda order, reservation: parcels.setdefault(info().idempotency_key, f"parcel with {reservation}"))
    return lambda: [*reservations.values(), *parcels.values()]


async def test_wherever_the_process_is_killed_one_parcel_is_sent() -> None:
    paid = Signal("paid", Payment(4900, "card-77"), after=timedelta(hours=30))
    report = await testing.crash_everywhere(fulfil, KETTLE, signals=[paid], prepare=a_warehouse)
    assert report.ending.effects == ["reservation of kettle", "parcel with reservation of kettle"]


async def test_whenever_the_payment_comes_the_goods_are_either_shipped_or_given_back() -> None:
    endings = await testing.every_order(fulfil, KETTLE, signals=[Signal("paid", Payment(4900, "card-77"))], prepare=a_warehouse)
    assert {ending.result.state for ending in endings} == {"shipped", "expired"}
    for ending in endings:
        acted = {call.step for call in ending.calls} & {"ship", "release"}
        assert acted == ({"ship"} if ending.result.state == "shipped" else {"release"})
