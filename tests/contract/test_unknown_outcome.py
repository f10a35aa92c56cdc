"""COMMIT failed: the outcome is unknown, and can be asked for."""

import asyncio

import pytest

from perdure.store.protocol import UnknownOutcome
from tests.contract.acting import LIMIT, Worker, history_of, kinds, new_run, signal, step
from tests.contract.places import Fault, Place, lose_the_reply, lose_the_request

BOTH = pytest.mark.parametrize(("fault", "is_committed"), [(lose_the_reply, True), (lose_the_request, False)])


@BOTH
async def test_a_checkpoint_of_unknown_outcome_is_found_out_by_its_number(place: Place, fault: Fault, is_committed: bool) -> None:
    store, faults = await place.open_with_fault()
    worker = await Worker(store, "worker-1").register()
    run = await worker.run("order-1")
    faults.next = fault

    with pytest.raises(UnknownOutcome):
        await worker.commit(run.change(step()))

    assert await store.checkpoint_of("worker-1") == (2 if is_committed else 1)
    assert kinds(await history_of(store, "order-1")) == (["started", "step"] if is_committed else ["started"])


@BOTH
async def test_the_worker_goes_on_after_it_has_found_out(place: Place, fault: Fault, is_committed: bool) -> None:
    store, faults = await place.open_with_fault()
    worker = await Worker(store, "worker-1").register()
    run = await worker.run("order-1")
    faults.next = fault
    with pytest.raises(UnknownOutcome):
        await worker.commit(run.change(step(0)))
    worker.number = await store.checkpoint_of("worker-1") or 0

    if not is_committed:
        await worker.commit(run.change(step(0)))
    run.position += 1
    await run.write(step(1))

    assert [record.command for record in await history_of(store, "order-1")] == [None, 0, 1]


@BOTH
async def test_what_is_not_a_checkpoint_can_simply_be_repeated(place: Place, fault: Fault, is_committed: bool) -> None:
    store, faults = await place.open_with_fault()
    worker = await Worker(store, "worker-1").register()
    run = await worker.run("order-1")
    for asked in (
        lambda: store.start(new_run("order-2")),
        lambda: store.send(signal("order-1", "s1"), LIMIT),
        lambda: store.send(signal("order-1", "s2", key="k"), LIMIT),
        lambda: store.retire("nobody"),
        store.wake_missed,
        lambda: store.bury(lambda lock: None),
    ):
        faults.next = fault
        try:
            await asked()
        except UnknownOutcome:
            await asked()
        faults.next = None  # what finds nothing to do writes nothing, and meets no fault

    assert len(await run.write(reads_inbox=True)) == 2
    assert len(await store.runs()) == 2


@BOTH
async def test_everyone_in_the_transaction_is_told(place: Place, fault: Fault, is_committed: bool) -> None:
    store, faults = await place.open_with_fault()
    await store.start(new_run("order-0"))
    faults.next = fault

    answers = await asyncio.gather(*(store.start(new_run(f"order-{number}")) for number in range(1, 4)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [UnknownOutcome] * 3
    assert len({id(answer) for answer in answers}) == 3
    assert len(await store.runs()) == (4 if is_committed else 1)
