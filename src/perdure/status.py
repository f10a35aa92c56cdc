"""Where a run stands, and what it waits for, in words and as data."""

from datetime import UTC, datetime
from typing import Any

from perdure.clock import Instant, to_datetime
from perdure.codec.plain import describe_failure, plain
from perdure.errors import DecodeError
from perdure.model.runs import AttemptRow, RunRow
from perdure.model.states import RunState
from perdure.run import RunStatus
from perdure.store.protocol import Store

LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
Wait = dict[str, Any]
"""`kind`, `text`, and the same as data."""

WANTED = {
    "cancel": "its worker to cancel it",
    "pause": "steps under way to end: then it is paused",
}


async def status_of(store: Store, now: Instant, row: RunRow) -> RunStatus:
    error = row.error
    if row.state in (RunState.FAILED, RunState.CANCELLED):
        last = await store.last_record(row.id)
        error = None if last is None else last.error
    return RunStatus(
        id=row.id,
        workflow=row.workflow,
        state=row.state.value,
        note=value(row.note),
        waiting_for=await waits_of(store, now, row),
        error=None if error is None else describe_failure(error),
        input=value(row.input),
        created_at=shown_at(row.created_at),
        ended_at=moment(row.ended_at),
    )


async def waits_of(store: Store, now: Instant, row: RunRow) -> list[Wait]:
    match row.state:
        case RunState.RUNNING:
            waits = [retry_wait(one) for one in await store.attempts(row.id) if one.next_at is not None]
            return await wanted_waits(store, row) + waits
        case RunState.PAUSED:
            return [{"kind": "resume", "text": "somebody to resume it"}, *waits_noted(row)]
        case RunState.PENDING | RunState.WAITING:
            waits = await wanted_waits(store, row) + waits_noted(row)
            return [*waits, await worker_wait(store, row)] if row.wake_at is not None and row.wake_at <= now else waits
    return []


async def wanted_waits(store: Store, row: RunRow) -> list[Wait]:
    return [
        {"kind": one, "text": WANTED.get(one, "its worker to do what cannot be read, for it is damaged")}
        for one in await store.wanted(row.id)
    ]


async def worker_wait(store: Store, row: RunRow) -> Wait:
    known = [one for one in await store.workers() if one.state == "live" and row.workflow in one.workflows]
    fits = [one for one in known if not row.needs_python or one.python == row.python]
    if fits:
        text = "a free worker"
    elif known:
        text = f"a worker on Python {row.python}, which recorded its history"
    else:
        text = f"a worker that knows workflow {row.workflow!r}; no live worker does"
    return {"kind": "worker", "text": text, "workflow": row.workflow}


def retry_wait(one: AttemptRow) -> Wait:
    assert one.next_at is not None
    at = to_datetime(one.next_at)
    text = f"step {one.name} to be tried again at {at:%Y-%m-%d %H:%M:%S} UTC; failed attempts: {one.failures}"
    return {"kind": "retry", "text": text, "step": one.name, "at": at, "failures": one.failures}


def moment(instant: Instant | None) -> Any:
    return None if instant is None else shown_at(instant)


def shown_at(instant: Instant) -> datetime:
    """A moment that there is not is that of a damaged row, and shown as the last there is."""
    try:
        return to_datetime(instant)
    except OverflowError:
        return LAST_MOMENT


def value(payload: bytes | None) -> Any:
    """What is damaged in one run is shown as such: it hides no other."""
    try:
        return None if payload is None else plain(payload, what="damaged")
    except DecodeError as error:
        return str(error)


def waits_noted(row: RunRow) -> list[Wait]:
    found = value(row.waiting_for)
    return found if isinstance(found, list) else []
