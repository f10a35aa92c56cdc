"""An order: reserve the goods, wait two days for the payment, then ship; where no payment comes, let the goods go again.

perdure worker examples/order_fulfilment.py &
perdure run start fulfil --id order-1 --input '{"order": {"id": "1", "item": "kettle", "price": 4900}}'
perdure run signal order-1 paid --payload '{"amount": 4900, "reference": "card-77"}' --key card-77
perdure run wait order-1
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from perdure import Retry, info, receive, set_status, step, workflow

PAYMENT_WITHIN = timedelta(hours=48)


class OutOfStock(Exception):
    """There is nothing to reserve, and trying again will not help."""


@dataclass
class Order:
    id: str
    item: str
    price: int


@dataclass
class Payment:
    amount: int
    reference: str


@dataclass
class Receipt:
    order: str
    state: Literal["shipped", "expired"]
    tracking: str | None = None


@step(retry=Retry(dont_retry=(OutOfStock,), give_up_after=timedelta(days=1)), timeout=30)
async def reserve(order: Order) -> str:
    """Your warehouse's API. The key lets it answer a repeated request with the first reservation."""
    return f"reservation-{order.item}-{info().idempotency_key}"


@step
async def release(reservation: str) -> None:
    """Give the goods back."""


@step(retry=Retry(initial=5, maximum=3600))
async def ship(order: Order, reservation: str) -> str:
    """Returns the parcel's tracking number."""
    return f"parcel-{order.id}"


@workflow
async def fulfil(order: Order) -> Receipt:
    reservation = await reserve(order)
    paid = 0
    try:
        while paid < order.price:
            set_status(f"{order.price - paid} left to pay")
            payment = await receive("paid", Payment, timeout=PAYMENT_WITHIN)
            paid += payment.amount
    except TimeoutError:
        await release(reservation)
        return Receipt(order.id, "expired")
    return Receipt(order.id, "shipped", await ship(order, reservation))
