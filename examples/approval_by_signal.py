"""An expense to be approved: ask, remind every day, ask the next in the chain after three days, and reject when nobody answers.

perdure worker examples/approval_by_signal.py &
perdure run start approve_expense --id expense-1 --input '{"expense": {"id": "1", "amount": 900, "for_what": "a chair"}}'
perdure run signal expense-1 decision --payload '{"approved": true, "by": "manager"}'
"""

from dataclasses import dataclass
from datetime import timedelta

from perdure import now, receive, set_status, step, workflow

CHAIN = ("manager", "director")
REMIND_EVERY = timedelta(days=1)
ANSWER_WITHIN = timedelta(days=3)


@dataclass
class Expense:
    id: str
    amount: int
    for_what: str


@dataclass
class Decision:
    approved: bool
    by: str
    why: str = ""


@step
async def ask(who: str, expense: Expense, is_reminder: bool) -> None:
    """Your mail or chat. A repeat after a crash asks twice, which nobody minds."""


@step
async def pay_out(expense: Expense, decision: Decision) -> None:
    """Tell the bookkeeping, with info().idempotency_key as the number of the voucher."""


@workflow
async def approve_expense(expense: Expense) -> Decision:
    for who in CHAIN:
        decision = await answer_of(who, expense)
        if decision is not None:
            break
    else:
        return Decision(approved=False, by="nobody", why="nobody answered")
    if decision.approved:
        await pay_out(expense, decision)
    return decision


async def answer_of(who: str, expense: Expense) -> Decision | None:
    """None when the time is over. Whoever answers, it counts: the manager may be late, and answer while the director is asked."""
    until = now() + ANSWER_WITHIN
    is_reminder = False
    while now() < until:
        await ask(who, expense, is_reminder)
        set_status(f"{who} was asked, until {until:%d %B %H:%M}")
        try:
            return await receive("decision", Decision, timeout=min(REMIND_EVERY, until - now()))
        except TimeoutError:
            is_reminder = True
    return None
