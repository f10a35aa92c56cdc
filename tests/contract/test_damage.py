"""Bytes that changed on disk are seen when they are read, and harm one run only."""

import pytest

from perdure.errors import CorruptedHistory
from perdure.store.protocol import Store
from tests.contract.acting import Worker, history_of, kinds, step
from tests.contract.places import Place

DAMAGES = {
    "a flipped bit in a payload": "update history set output = x'03' where run_id = 'broken' and position = 2",
    "a lost payload": "update history set output = null where run_id = 'broken' and position = 2",
    "a cut payload": "update history set output = x'' where run_id = 'broken' and position = 2",
    "another name": "update history set name = 'wonk' where run_id = 'broken' and position = 2",
    "a name that is no text": "update history set name = cast(x'ff41' as text) where run_id = 'broken' and position = 2",
    "another time": "update history set at = at + 1 where run_id = 'broken' and position = 2",
    "another command": "update history set command = 3 where run_id = 'broken' and position = 2",
    "another digest": "update history set digest = x'00' where run_id = 'broken' and position = 2",
    "another checksum": "update history set checksum = checksum + 1 where run_id = 'broken' and position = 2",
    "a kind that there is not": "update history set kind = 'stip' where run_id = 'broken' and position = 2",
    "a lost record": "delete from history where run_id = 'broken' and position = 2",
}


async def two_runs(store: Store) -> None:
    worker = await Worker(store, "worker-1").register()
    for run_id in ("broken", "sound"):
        run = await worker.run(run_id)
        await run.write(step(0), step(1))


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_record_is_reported_with_its_run_and_others_are_loaded(shared: Place, store: Store, damage: str) -> None:
    await two_runs(store)
    shared.execute(DAMAGES[damage])

    loaded = await store.load(["broken", "sound"])

    assert "record 2" in (loaded["broken"].damage or "")
    assert loaded["broken"].row.id == "broken"
    assert loaded["sound"].damage is None
    assert kinds(loaded["sound"].records) == ["started", "step", "step"]
    assert {summary.id for summary in await store.runs()} == {"broken", "sound"}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_history_cannot_be_shown_as_if_it_were_sound(shared: Place, store: Store, damage: str) -> None:
    await two_runs(store)
    shared.execute(DAMAGES[damage])

    with pytest.raises(CorruptedHistory, match=r"run broken: record 2"):
        await history_of(store, "broken")

    assert kinds(await history_of(store, "sound")) == ["started", "step", "step"]


@pytest.mark.parametrize("column", ["input", "input_hash", "seed"])
async def test_a_damaged_input_is_reported_with_its_run(shared: Place, store: Store, column: str) -> None:
    await two_runs(store)
    shared.execute(f"update runs set {column} = x'00' where id = 'broken'")

    loaded = await store.load(["broken", "sound"])

    assert "input" in (loaded["broken"].damage or "")
    assert loaded["sound"].damage is None
