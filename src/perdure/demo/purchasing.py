"""The workflow of the demo: check the budget, wait for a decision, place the order, tell the requester.

    perdure worker perdure.demo.purchasing --store sqlite:///purchasing.db

Nothing in here knows that its process will be killed.
"""

import json
import os
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from email.message import EmailMessage
from enum import StrEnum
from functools import cache
from importlib.resources import files
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from perdure import Retry, info, receive, set_status, step, workflow
from perdure.demo.effects import noted
from perdure.errors import RetryAfter


@dataclass(frozen=True)
class Item:
    sku: str
    description: str
    quantity: int
    unit_price: Decimal


@dataclass(frozen=True)
class PurchaseRequest:
    id: str
    department: str
    requester: str
    cost_centre: str
    currency: str
    supplier: str
    needed_by: date
    items: list[Item]
    justification: str

    @property
    def total(self) -> Decimal:
        return sum((item.quantity * item.unit_price for item in self.items), Decimal(0))


@dataclass(frozen=True)
class BudgetCheck:
    left: Decimal  # of the cost centre's budget, before this request
    over_by: Decimal  # 0: it fits


@dataclass(frozen=True)
class Decision:
    approved: bool
    by: str
    comment: str = ""


class Outcome(StrEnum):
    ORDERED = "ordered"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Receipt:
    request: str
    outcome: Outcome
    order_number: str | None = None


class OrderRefused(Exception):
    """The order system understood the order and will not take it: trying again is of no use."""


# ── the workflow ─────────────────────────────────────────────────────────────────────────────────────────────────────


@workflow
async def purchase(request: PurchaseRequest, decide_within: timedelta = timedelta(days=3)) -> Receipt:
    """One purchase request from the desk to the order."""
    budget = await check_budget(request)
    set_status("waiting for a decision" if budget.over_by == 0 else f"waiting for a decision, {budget.over_by} over budget")
    try:
        decision = await receive("decision", Decision, timeout=decide_within)
    except TimeoutError:
        await notify(request, "nobody decided in time; please ask again")
        return Receipt(request.id, Outcome.EXPIRED)
    if not decision.approved:
        await notify(request, f"rejected by {decision.by}: {decision.comment}")
        return Receipt(request.id, Outcome.REJECTED)
    set_status("ordering")
    order_number = await place_order(request)
    set_status(f"ordered, {order_number}")
    await notify(request, f"ordered from {request.supplier} as {order_number}")
    return Receipt(request.id, Outcome.ORDERED, order_number)


# ── its steps: whatever touches the world outside ────────────────────────────────────────────────────────────────────


@step
async def check_budget(request: PurchaseRequest) -> BudgetCheck:
    """Compare the total with what the cost centre has left this year."""
    with noted():
        budget = budgets()[request.cost_centre]
        left = Decimal(budget["amount"]) - Decimal(budget["spent"])
        return BudgetCheck(left, max(Decimal(0), request.total - left))


@step(retry=Retry(initial=0.2, factor=1.6, maximum=5, dont_retry=(OrderRefused,)), timeout=10)
def place_order(request: PurchaseRequest) -> str:
    """Give the order to the order system; the number it has there. A plain `def`: it may block, for it runs in a thread.

    The system may be busy, or book the order and lose the answer. So it is asked again, always with the same key.
    """
    with noted():
        call = Request(  # noqa: S310 - plain http, to the address that the operator has set
            f"{os.environ['ORDER_SYSTEM_URL']}/orders",
            data=json.dumps(asdict(request), default=str).encode(),
            headers={"Content-Type": "application/json", "Idempotency-Key": info().idempotency_key or "", "Attempt": str(info().attempt)},
        )
        try:
            with urlopen(call, timeout=5) as answer:  # noqa: S310 - the same request
                return str(json.load(answer)["number"])
        except HTTPError as error:
            reason = f"the order system answered {error.code}"
            if error.code == 503 and "Retry-After" in error.headers:
                raise RetryAfter(float(error.headers["Retry-After"]), reason) from error
            if error.code == 503:
                raise ConnectionError(reason) from error
            raise OrderRefused(f"{reason}: {error.read().decode()}") from error


@step
def notify(request: PurchaseRequest, message: str) -> None:
    """Tell the requester. Mail goes into a folder here, which makes a repeat harmless: one request, one file."""
    with noted():
        mail = EmailMessage()
        mail["To"], mail["Subject"] = request.requester, f"{request.id}: {message}"
        mail.set_content(f"{request.total} {request.currency} for {request.department}: {message}.")
        folder = os.environ.get("OUTBOX_FOLDER", ".")
        with open(os.path.join(folder, f"{request.id}.eml"), "wb") as file:
            file.write(bytes(mail))


@cache
def budgets() -> dict[str, dict[str, str]]:
    """By cost centre."""
    found: dict[str, dict[str, str]] = json.loads(files("perdure.demo").joinpath("budgets.json").read_text())
    return found
