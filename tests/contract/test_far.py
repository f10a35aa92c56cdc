"""How far a run's code has come: what the store keeps of it when a run is put down."""

from perdure.model.records import NewRecord, RecordKind
from perdure.store.endings import Park, Quarantine, Release
from perdure.store.protocol import Store
from tests.contract.acting import Worker, history_of, signal, step

MARK = NewRecord(RecordKind.PATCHED, "mark")


async def reached(store: Store) -> tuple[int, int]:
    loaded = (await store.load(["order-1"]))["order-1"]
    return loaded.row.issued, loaded.row.reached


async def test_what_was_issued_is_kept_with_the_last_record_that_the_code_had_seen_and_neither_ever_falls(
    store: Store, worker: Worker
) -> None:
    run = await worker.run("order-1")
    assert await reached(store) == (0, 0)

    await run.write(step(0), step(1))
    assert await reached(store) == (0, 0), "a step alone costs no update of its run"
    await run.write(step(2), issued=4)
    assert await reached(store) == (4, 3), "the record that is written with it has not been seen"
    await worker.commit(run.change(issued=2))
    assert await reached(store) == (4, 4)
    run.position = 1
    await worker.commit(run.change(issued=1))
    assert await reached(store) == (4, 4)


async def test_every_way_of_putting_a_run_down_keeps_it(store: Store, worker: Worker) -> None:
    for number, ending in enumerate((Park(None, b"[]"), Release(), Quarantine(b"{}")), 1):
        await worker.commit((await worker.run(f"order-{number}")).change(ending=ending, issued=number))
        loaded = (await store.load([f"order-{number}"]))[f"order-{number}"]
        assert (loaded.row.issued, loaded.row.reached) == (number, 1)


async def test_a_run_that_records_nothing_but_marks_is_parked_with_them(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")

    (written,) = (await worker.commit(run.change(MARK, ending=Park(None, b"[]"), issued=0))).written

    assert written.has_left
    assert [record.kind for record in await history_of(store, "order-1")] == ["started", "patched"]


async def test_a_run_for_which_something_came_is_not_parked_although_it_records_marks(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "id-1"), 10)

    (written,) = (await worker.commit(run.change(MARK, reads_inbox=True, ending=Park(None, b"[]")))).written

    assert not written.has_left
    assert [record.kind for record in written.records] == ["patched", "signal"]
