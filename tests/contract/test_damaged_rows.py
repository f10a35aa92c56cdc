"""A row of table runs that says what cannot be is quarantined, or shown so; no other run is concerned."""

import apsw
import pytest

from perdure.clock import SECOND
from perdure.errors import CorruptedHistory
from perdure.model.states import RunState
from perdure.store.endings import Release
from perdure.store.protocol import Store
from tests.contract.acting import LIMIT, ManualClock, Worker, ids, new_run, signal
from tests.contract.places import Place, SqlitePlace

NO_TEXT = "cast(x'6fff' as text)"
CLAIMED_DAMAGES = {
    "an id that is no text": f"update runs set id = {NO_TEXT} where id = 'broken'",
    "a Python that is no text": f"update runs set python = {NO_TEXT} where id = 'broken'",
    "an end that was not": "update runs set ended_at = 0 where id = 'broken'",
    "a Python that is gone": "update runs set python = null where id = 'broken'",
}
SHOWN_DAMAGES = {
    **CLAIMED_DAMAGES,
    "a state that there is not": "update runs set state = 'waitinh' where id = 'broken'",
    "a state that is no text": f"update runs set state = {NO_TEXT} where id = 'broken'",
    "a workflow that is no text": f"update runs set workflow = {NO_TEXT} where id = 'broken'",
    "an end that was not of this state": "update runs set state = 'completed' where id = 'broken'",
}
UNCHECKED = "pragma ignore_check_constraints = on; "


async def due_runs(store: Store, *run_ids: str) -> None:
    worker = await Worker(store, "before").register()
    for run in [await worker.run(run_id) for run_id in run_ids]:
        await run.write(ending=Release())


@pytest.mark.parametrize("damage", CLAIMED_DAMAGES)
async def test_a_due_run_whose_row_is_damaged_is_quarantined_and_the_others_are_claimed(shared: Place, store: Store, damage: str) -> None:
    await due_runs(store, "broken", "sound")
    shared.execute(UNCHECKED + CLAIMED_DAMAGES[damage])
    worker = await Worker(store, "worker-1").register()

    committed = await worker.commit(room=10)

    assert ids(committed.claimed) == ["sound"]
    (why,) = committed.set_aside.values()
    assert "its row is damaged" in why
    assert shared.execute("select state, owner, wake_at from runs where id <> 'sound'") == [("quarantined", None, None)]
    assert (await worker.commit(room=10)).set_aside == {}
    assert not await store.has_claimable(["flow"])


@pytest.mark.parametrize("damage", CLAIMED_DAMAGES)
async def test_an_orphan_whose_row_is_damaged_is_quarantined_and_the_others_are_claimed(shared: Place, store: Store, damage: str) -> None:
    dead = await Worker(store, "dead").register()
    for run_id in ("broken", "sound"):
        await dead.run(run_id)
    shared.execute(UNCHECKED + CLAIMED_DAMAGES[damage])
    await store.retire("dead")

    committed = await (await Worker(store, "worker-1").register()).commit(room=10)

    assert ids(committed.claimed) == ["sound"]
    assert len(committed.set_aside) == 1
    assert shared.execute("select state, owner from runs where id <> 'sound'") == [("quarantined", None)]


async def test_somebody_is_to_be_told_of_a_run_that_was_quarantined_instead_of_claimed(shared: Place, store: Store) -> None:
    await due_runs(store, "broken")
    shared.execute(CLAIMED_DAMAGES["a Python that is no text"])

    await (await Worker(store, "worker-1").register()).claim()

    (trouble,) = await store.take_troubles(10, SECOND)
    assert (trouble.run_id, trouble.kind) == ("broken", "quarantined")
    assert b"its row is damaged" in (trouble.error or b"")


@pytest.mark.parametrize("column", ["input", "input_hash", "seed"])
async def test_a_run_whose_input_was_damaged_before_it_began_does_not_begin(shared: Place, store: Store, column: str) -> None:
    for run_id in ("broken", "sound"):
        await store.start(new_run(run_id))
    shared.execute(f"update runs set {column} = x'7b' where id = 'broken'")
    worker = await Worker(store, "worker-1").register()

    committed = await worker.commit(room=10)

    assert ids(committed.claimed) == ["sound"]
    assert "input of the run is damaged" in committed.set_aside["broken"]
    assert await store.history("broken") == {}
    row = await store.run("broken")
    assert row is not None
    assert row.state is RunState.QUARANTINED


@pytest.mark.parametrize("damage", ["'dead' || 'x'", NO_TEXT], ids=["another", "no-text"])
async def test_a_run_whose_owner_is_damaged_is_claimed_as_one_of_the_dead(shared: Place, store: Store, damage: str) -> None:
    dead = await Worker(store, "dead").register()
    for run_id in ("broken", "sound"):
        await dead.run(run_id)
    shared.execute(f"update runs set owner = {damage} where id = 'broken'")
    heir = await Worker(store, "heir").register()

    assert await store.has_claimable(["flow"])
    assert ids(await heir.claim()) == ["broken"]
    await store.retire("dead")
    assert ids(await heir.claim()) == ["sound"]


@pytest.mark.parametrize("damage", SHOWN_DAMAGES)
async def test_a_run_whose_row_is_damaged_is_shown_as_quarantined_and_hides_no_other(
    shared: Place, store: Store, clock: ManualClock, damage: str
) -> None:
    worker = await Worker(store, "worker-1").register()
    for run_id in ("broken", "sound"):
        await (await worker.run(run_id)).park()
        clock.advance(1)
    shared.execute(UNCHECKED + SHOWN_DAMAGES[damage])

    listed = await store.runs()
    row = await store.run("broken")

    assert listed[0].id == "sound"
    assert listed[0].state is RunState.WAITING
    assert len(listed) == 2
    if "state" in damage:
        assert listed[1].state is RunState.QUARANTINED or "end" in damage
        assert sum((await store.counts()).values()) == 2
    if row is not None and damage != "a Python that is gone":
        assert row.state is RunState.QUARANTINED
        assert "its row is damaged" in (row.damage or "")
        assert (await store.load(["broken"]))["broken"].damage == row.damage
    assert await store.stranded(0, 10) is not None
    assert len(await store.groups()) >= 1


@pytest.mark.parametrize("act", ["cancel", "pause", "resume", "retry", "delete", "send"])
async def test_nothing_is_done_to_a_run_whose_state_is_damaged(shared: Place, store: Store, act: str) -> None:
    worker = await Worker(store, "worker-1").register()
    await (await worker.run("broken")).finish()
    shared.execute(UNCHECKED + "update runs set state = 'completfd' where id = 'broken'")
    before = shared.execute("select * from runs"), shared.execute("select * from history"), shared.execute("select * from inbox")
    acts = {
        "cancel": lambda: store.cancel("broken", SECOND),
        "send": lambda: store.send(signal("broken", "s1"), LIMIT),
    }

    with pytest.raises(CorruptedHistory, match=r"run broken: its row is damaged.*nothing was"):
        await acts.get(act, lambda: getattr(store, act)("broken"))()

    assert before == (shared.execute("select * from runs"), shared.execute("select * from history"), shared.execute("select * from inbox"))


async def test_runs_that_nobody_can_take_are_told_although_the_workflow_of_one_is_no_text(
    shared: Place, store: Store, clock: ManualClock
) -> None:
    await due_runs(store, "broken", "sound")
    shared.execute(f"update runs set workflow = {NO_TEXT} where id = 'broken'")
    await store.retire("before")
    clock.advance(600)

    found = {one.run_id for one in await store.stranded(SECOND, 10)}
    await store.note_stranded(SECOND, 10)

    assert found == {"broken", "sound"}
    assert len(shared.execute("select 1 from troubles where kind = 'stranded'")) == 2


async def test_a_row_that_was_put_right_goes_on_once_it_is_resumed(shared: Place, store: Store) -> None:
    await due_runs(store, "broken")
    shared.execute(CLAIMED_DAMAGES["a Python that is no text"])
    worker = await Worker(store, "worker-1").register()
    await worker.claim()
    shared.execute("update runs set python = '3.11' where id = 'broken'")

    await store.resume("broken")

    assert ids(await worker.claim()) == ["broken"]


@pytest.mark.parametrize("kind", ["'failee'", NO_TEXT], ids=["another", "no-text"])
async def test_a_trouble_whose_kind_is_damaged_is_told_as_what_its_run_is_in_and_keeps_no_other_from_being_told(
    shared: Place, store: Store, kind: str
) -> None:
    worker = await Worker(store, "worker-1").register()
    for run_id in ("broken", "sound"):
        await (await worker.run(run_id)).finish(RunState.FAILED)
    shared.execute(UNCHECKED + f"update troubles set kind = {kind} where run_id = 'broken'")

    told = [one for _ in range(2) for one in await store.take_troubles(10, SECOND)]

    assert sorted((one.run_id, one.kind.value) for one in told) == [("broken", "failed"), ("sound", "failed")]
    for one in told:
        await store.settle_trouble(one, None)
    assert shared.execute("select 1 from troubles") == []


def with_any_type(path: str, statement: str) -> None:
    """Change a row as a flipped bit may: SQLite itself refuses bytes in a column of texts."""
    with apsw.Connection(path) as db:
        ((strict,),) = db.execute("select sql from sqlite_schema where name = 'runs'").fetchall()
        db.execute("pragma writable_schema = on")
        for schema, act in ((strict.replace("strict, without", "without"), statement), (strict, "select 1")):
            db.execute("update sqlite_schema set sql = ? where name = 'runs'", (schema,))
            db.execute("pragma writable_schema = reset")
            db.execute(act).fetchall()
            db.execute("pragma writable_schema = on")
    db.close()


async def test_an_id_that_has_become_bytes_is_set_aside_and_becomes_a_text_again(shared: SqlitePlace, store: Store) -> None:
    await due_runs(store, "broken", "sound")
    with_any_type(shared.path, "update runs set id = cast(id as blob) where id = 'broken'")
    assert len(await store.runs()) == 2
    worker = await Worker(store, "worker-1").register()

    committed = await worker.commit(room=10)

    assert ids(committed.claimed) == ["sound"]
    assert list(committed.set_aside) == ["broken"]
    assert shared.execute("select id, state from runs where id <> 'sound'") == [("broken", "quarantined")]
    await store.resume("broken")
    assert ids(await worker.claim()) == ["broken"]


async def test_a_row_that_cannot_be_written_at_all_keeps_no_other_run_from_being_claimed(shared: SqlitePlace, store: Store) -> None:
    await due_runs(store, "broken", "sound")
    with_any_type(shared.path, "update runs set id = cast(id as blob) where id = 'broken'")
    await store.start(new_run("broken"))
    worker = await Worker(store, "worker-1").register()

    first, second = [await worker.commit(room=10) for _ in range(2)]
    alone = await worker.commit(room=1)

    assert ids(first.claimed) == ["sound"]
    assert [list(one.set_aside) for one in (first, second)] == [["broken"], ["broken"]]
    assert shared.execute("select state from runs where id = 'broken'") == [("quarantined",)]  # there are records of another run
    assert (alone.claimed, alone.has_more) == ([], False)
    assert len(await store.runs()) == 3
