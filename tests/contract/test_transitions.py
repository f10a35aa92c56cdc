"""What a store does to the state of a run is what the table of transitions says."""

from collections.abc import Awaitable, Callable

import pytest

from perdure.clock import SECOND
from perdure.errors import PerdureError
from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import TRANSITIONS, RunState, after
from perdure.store.endings import Continue, Finish, PutAside, Quarantine, Release
from perdure.store.protocol import Store
from tests.contract.acting import Mine, Worker, new_run

HAPPENINGS: dict[str, Callable[[Store, Worker, Mine], Awaitable[object]]] = {
    "claim": lambda store, worker, run: heir_claims(store),
    "park": lambda store, worker, run: run.park(None),
    "release": lambda store, worker, run: run.write(ending=Release()),
    "quarantine": lambda store, worker, run: run.write(ending=Quarantine(b"why")),
    "complete": lambda store, worker, run: run.finish(RunState.COMPLETED),
    "fail": lambda store, worker, run: run.finish(RunState.FAILED),
    "continue": lambda store, worker, run: run.write(ending=Continue(NewRecord(RecordKind.CONTINUED), b"{}")),
    "cancel": lambda store, worker, run: asked_for(run, store.cancel(run.id, SECOND), Finish(RunState.CANCELLED, CANCELLED)),
    "pause": lambda store, worker, run: asked_for(run, store.pause(run.id), PutAside(b"[]")),
    "resume": lambda store, worker, run: store.resume(run.id),
    "retry": lambda store, worker, run: store.retry(run.id),
}
"""All that can happen to a run, each tried in each state."""

CANCELLED = NewRecord(RecordKind.CANCELLED)


async def asked_for(run: Mine, request: Awaitable[None], ending: Finish | PutAside) -> None:
    """Of a run that is owned, it becomes true when its owner does it."""
    await request
    row = await run.worker.store.run(run.id)
    if row is not None and row.state is RunState.RUNNING:
        await run.write(ending=ending)


async def heir_claims(store: Store) -> None:
    """As after the death of the owner, so that a running run can be claimed too."""
    await store.retire("worker-1")
    await (await Worker(store, "heir").register()).claim()


async def bring(worker: Worker, state: RunState) -> Mine:
    if state is RunState.PENDING:
        await worker.store.start(new_run("order-1"))
        return Mine(worker, "order-1", 0, 0)
    run = await worker.run("order-1")
    match state:
        case RunState.WAITING:
            await run.write(ending=Release())
        case RunState.QUARANTINED:
            await run.write(ending=Quarantine(b"why"))
        case RunState.PAUSED:
            await run.write(ending=Release())
            await worker.store.pause("order-1")
        case RunState.COMPLETED | RunState.FAILED:
            await run.finish(state)
        case RunState.CANCELLED:
            await run.write(ending=Finish(state, CANCELLED))
    return run


@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("happening", HAPPENINGS)
async def test_a_state_changes_as_the_table_says_or_not_at_all(store: Store, worker: Worker, state: RunState, happening: str) -> None:
    run = await bring(worker, state)

    try:
        await HAPPENINGS[happening](store, worker, run)
    except PerdureError:
        assert after(state, happening) is None

    row = await store.run("order-1")
    assert row is not None
    assert row.state is (after(state, happening) or state)


def test_the_table_holds_nothing_that_is_not_tried_here() -> None:
    assert {happening for _, happening in TRANSITIONS} == set(HAPPENINGS)
