"""A signal whose row changed on disk is not delivered as if it had been sent so, and harms one run only."""

import pytest

from perdure.clock import SECOND
from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import RunState
from perdure.store.endings import Finish, Park, PutAside, Quarantine
from perdure.store.protocol import Intent, Store
from tests.contract.acting import LIMIT, Mine, Worker, history_of, kinds, signal, step
from tests.contract.places import Place

DAMAGES = {
    "a flipped bit in a payload": "update inbox set payload = x'33' where run_id = 'broken' and number = 2",
    "a cut payload": "update inbox set payload = x'' where run_id = 'broken' and number = 2",
    "another topic": "update inbox set topic = 'paie' where run_id = 'broken' and number = 2",
    "a topic that is no text": "update inbox set topic = cast(x'ff41' as text) where run_id = 'broken' and number = 2",
    "another time": "update inbox set arrived_at = arrived_at + 1 where run_id = 'broken' and number = 2",
    "another id": "update inbox set id = 's9' where run_id = 'broken' and number = 2",
    "another checksum": "update inbox set checksum = checksum + 1 where run_id = 'broken' and number = 2",
    "another run": "update inbox set run_id = 'broken' where run_id = 'sound'",
    "another number": "update inbox set number = 9 where run_id = 'broken' and number = 2",
    "a topic that is no text, sent by a release without checksums": (
        "update inbox set topic = cast(x'ff41' as text), checksum = null where run_id = 'broken' and number = 2"
    ),
}


async def three_signals(store: Store) -> tuple[Mine, Mine]:
    worker = await Worker(store, "worker-1").register()
    broken, sound = await worker.run("broken"), await worker.run("sound")
    for number in (1, 2):
        await store.send(signal("broken", f"s{number}", payload=b"%d" % number), LIMIT)
    await store.send(signal("sound", "s3", payload=b"3"), LIMIT)
    return broken, sound


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_signal_is_told_with_its_run_and_others_get_theirs(shared: Place, store: Store, damage: str) -> None:
    broken, sound = await three_signals(store)
    is_moved = damage == "another run"
    if is_moved:
        shared.execute("delete from inbox where run_id = 'broken'")
    shared.execute(DAMAGES[damage])

    first, second = (await broken.worker.commit(broken.change(step(), reads_inbox=True), sound.change(reads_inbox=True))).written

    assert "in its inbox is damaged" in (first.damage or "")
    assert "resume the run" in (first.damage or "")
    assert kinds(first.records) == ["step"]
    assert second.damage is None
    assert [record.output for record in second.records] == ([] if is_moved else [b"3"])
    assert len(shared.execute("select 1 from inbox where run_id = 'broken'")) == (1 if is_moved else 2)


@pytest.mark.parametrize("ending", [Park(None, b"[]"), PutAside(b"[]")], ids=["park", "put-aside"])
async def test_a_run_whose_inbox_is_damaged_is_not_let_go(shared: Place, store: Store, ending: Park | PutAside) -> None:
    broken, _ = await three_signals(store)
    shared.execute(DAMAGES["a flipped bit in a payload"])

    (written,) = (await broken.worker.commit(broken.change(reads_inbox=True, ending=ending))).written

    assert written.damage is not None
    assert not written.has_left
    row = await store.run("broken")
    assert row is not None
    assert row.state is RunState.RUNNING


async def test_no_intent_is_written_for_a_step_that_will_not_begin_because_the_inbox_is_damaged(shared: Place, store: Store) -> None:
    broken, _ = await three_signals(store)
    shared.execute(DAMAGES["a flipped bit in a payload"])

    await broken.worker.commit(broken.change(reads_inbox=True, intents=[Intent(0, "pay", b"digest")]))

    assert await store.attempts("broken") == []


async def test_a_repaired_inbox_is_delivered_whole_and_in_order(shared: Place, store: Store) -> None:
    broken, _ = await three_signals(store)
    shared.execute(DAMAGES["a flipped bit in a payload"])
    await broken.write(reads_inbox=True)
    await broken.write(ending=Quarantine(b"{}"))
    shared.execute("update inbox set payload = x'32' where run_id = 'broken' and number = 2")
    await store.resume("broken")
    await broken.worker.claim()

    records = await broken.write(reads_inbox=True)

    assert [(record.kind, record.output) for record in records] == [(RecordKind.SIGNAL, b"1"), (RecordKind.SIGNAL, b"2")]


async def test_a_signal_of_a_release_without_checksums_is_delivered(shared: Place, store: Store) -> None:
    broken, _ = await three_signals(store)
    shared.execute("update inbox set checksum = null")

    assert [record.output for record in await broken.write(reads_inbox=True)] == [b"1", b"2"]


@pytest.mark.parametrize("state", [RunState.COMPLETED, RunState.FAILED])
async def test_a_run_does_not_end_with_a_damaged_signal_in_its_inbox(shared: Place, store: Store, state: RunState) -> None:
    broken, _ = await three_signals(store)
    shared.execute(DAMAGES["a flipped bit in a payload"])
    ending = Finish(state, NewRecord(RecordKind.COMPLETED if state is RunState.COMPLETED else RecordKind.FAILED))

    (written,) = (await broken.worker.commit(broken.change(step(), ending=ending))).written

    assert "in its inbox is damaged" in (written.damage or "")
    assert (written.has_left, kinds(written.records)) == (False, ["step"])


@pytest.mark.parametrize("is_owned", [True, False])
async def test_a_run_that_is_cancelled_ends_without_its_damaged_signals(shared: Place, store: Store, is_owned: bool) -> None:
    broken, _ = await three_signals(store)
    shared.execute(DAMAGES["a flipped bit in a payload"])

    if is_owned:
        await store.cancel("broken", SECOND)
        await broken.write(ending=Quarantine(b"{}"))
    else:
        await broken.write(ending=Quarantine(b"{}"))
        await store.cancel("broken", SECOND)

    row = await store.run("broken")
    assert row is not None
    assert row.state is RunState.CANCELLED
    history = await history_of(store, "broken")
    assert [(record.kind, record.output) for record in history[1:]] == [("signal", b"1"), ("cancel", None), ("cancelled", None)]
    assert shared.execute("select 1 from inbox where run_id = 'broken'") == []
