"""Runs under whose code processes died: they are claimed alone, and in the end by nobody."""

from perdure.clock import SECOND
from perdure.model.states import RunState
from perdure.store.endings import Release
from perdure.store.protocol import STRIKES_ALONE, STRIKES_MOST, Store
from tests.contract.acting import LIMIT, Mine, Worker, history_of, ids, kinds, new_run, signal, step
from tests.contract.places import Place


async def strike(store: Store, times: int, *executing: str, first: int = 1) -> None:
    """As many workers claim what there is, and die while the code of these runs was executing."""
    for number in range(first, first + times):
        victim = await Worker(store, f"victim-{number}").register()
        await victim.claim()
        await victim.claim(is_alone=True)
        await victim.dies(*executing)


async def test_a_run_is_claimed_with_its_strikes_and_among_others_before_it_is_a_suspect(store: Store) -> None:
    await store.start(new_run("poison"))
    await store.start(new_run("innocent"))
    await strike(store, STRIKES_ALONE - 1, "poison")
    heir = await Worker(store, "heir").register()

    claimed = {one.row.id: one.strikes for one in await heir.claim()}

    assert claimed == {"poison": STRIKES_ALONE - 1, "innocent": 0}


async def test_a_suspect_is_claimed_only_by_a_worker_that_has_nothing_else_and_then_alone(store: Store) -> None:
    await store.start(new_run("poison"))
    await store.start(new_run("innocent"))
    await strike(store, STRIKES_ALONE, "poison")
    heir, lonely = await Worker(store, "heir").register(), await Worker(store, "lonely").register()
    await store.start(new_run("new"))

    alone = await lonely.commit(room=10, is_alone=True)
    among_others = await heir.commit(room=10)

    assert [(one.row.id, one.strikes) for one in alone.claimed] == [("poison", STRIKES_ALONE)]
    assert not alone.suspects_wait
    assert set(ids(among_others.claimed)) == {"innocent", "new"}


async def test_a_worker_is_told_that_a_suspect_waits_for_somebody_with_nothing_else(store: Store) -> None:
    await store.start(new_run("poison"))
    await strike(store, STRIKES_ALONE, "poison")
    heir = await Worker(store, "heir").register()

    committed = await heir.commit(room=10)

    assert (ids(committed.claimed), committed.suspects_wait) == ([], True)
    assert (await heir.commit(room=10, is_alone=True)).claimed
    assert not (await heir.commit(room=10)).suspects_wait


async def test_only_runs_of_the_dead_get_a_strike(store: Store) -> None:
    worker = await Worker(store, "worker-1").register()
    await worker.run("elsewhere")
    await store.start(new_run("poison"))

    await strike(store, STRIKES_MOST, "elsewhere", "nobody", "poison")

    elsewhere, poison = await store.run("elsewhere"), await store.run("poison")
    assert elsewhere is not None
    assert poison is not None
    assert (elsewhere.state, elsewhere.owner) == (RunState.RUNNING, "worker-1")
    assert poison.state is RunState.QUARANTINED


async def test_a_run_that_keeps_killing_is_quarantined_and_says_why(store: Store) -> None:
    await store.start(new_run("poison"))

    await strike(store, STRIKES_MOST - 1, "poison")
    suspect = await store.run("poison")
    await strike(store, 1, "poison", first=STRIKES_MOST)
    row = await store.run("poison")

    assert suspect is not None
    assert suspect.state is RunState.RUNNING
    assert row is not None
    assert (row.state, row.owner, row.wake_at) == (RunState.QUARANTINED, None, None)
    assert f"{STRIKES_MOST} processes died".encode() in (row.error or b"")


async def test_deaths_with_other_runs_executing_quarantine_nothing(store: Store) -> None:
    await store.start(new_run("innocent"))

    await strike(store, STRIKES_MOST + 2)

    row = await store.run("innocent")
    assert row is not None
    assert row.state is RunState.RUNNING


async def test_progress_clears_the_strikes(store: Store) -> None:
    await store.start(new_run("order-1"))
    await strike(store, STRIKES_ALONE, "order-1")
    lonely = await Worker(store, "lonely").register()
    (claimed,) = await lonely.claim(is_alone=True)
    run = Mine(lonely, "order-1", claimed.row.created_at)

    await run.write(step(), clears_strikes=True, ending=Release())

    assert [one.strikes for one in await lonely.claim()] == [0]


async def test_a_resumed_run_is_suspected_no_more(store: Store) -> None:
    await store.start(new_run("poison"))
    await strike(store, STRIKES_MOST, "poison")

    await store.resume("poison")

    heir = await Worker(store, "heir").register()
    assert [(one.row.id, one.strikes) for one in await heir.claim()] == [("poison", 0)]


async def test_a_sweep_that_comes_second_strikes_nobody(store: Store) -> None:
    await store.start(new_run("poison"))
    victim = await Worker(store, "victim").register()
    await victim.claim()
    (seen,) = await store.workers()

    assert await store.declare_dead("victim", seen.expires_at, frozenset({"poison"}))
    assert not await store.declare_dead("victim", seen.expires_at, frozenset({"poison"}))

    heir = await Worker(store, "heir").register()
    assert [one.strikes for one in await heir.claim()] == [1]


async def test_deaths_among_others_make_a_suspect_but_quarantine_nothing(store: Store) -> None:
    await store.start(new_run("unlucky"))

    for number in range(STRIKES_MOST + 2):
        victim = await Worker(store, f"victim-{number}").register()
        await victim.claim(is_alone=True)
        await victim.dies("unlucky", was_alone=False)

    heir = await Worker(store, "heir").register()
    assert [one.strikes for one in await heir.claim(is_alone=True)] == [STRIKES_ALONE]


async def test_a_poisoned_run_that_is_to_be_cancelled_ends_cancelled_for_that_was_promised(store: Store) -> None:
    await store.start(new_run("poison"))
    await strike(store, STRIKES_MOST - 1, "poison")
    victim = await Worker(store, "victim").register()
    await victim.claim(is_alone=True)
    await store.send(signal("poison", "s1"), LIMIT)
    await store.cancel("poison", SECOND)

    await victim.dies("poison")

    row = await store.run("poison")
    assert row is not None
    assert row.state is RunState.CANCELLED
    assert kinds(await history_of(store, "poison")) == ["started", "signal", "cancel", "cancelled"]
    assert not await store.take_troubles(10, SECOND)
    assert not await store.has_claimable(["flow"])


async def test_a_worker_is_declared_dead_although_a_poisoned_run_of_it_that_is_to_be_cancelled_is_damaged(
    shared: Place, store: Store
) -> None:
    first = await Worker(store, "first").register()
    await (await first.run("poison")).finish(RunState.FAILED)
    await store.retry("poison")
    shared.execute("delete from history where run_id = 'poison' and generation = 1")
    await strike(store, STRIKES_MOST - 1, "poison")
    victim = await Worker(store, "victim").register()
    other = await victim.claim(is_alone=True)
    await store.cancel("poison", SECOND)
    shared.execute("update generations set checksum = checksum + 1")

    await victim.dies("poison")

    assert ids(other) == ["poison"]
    row = await store.run("poison")
    assert row is not None
    assert row.state is RunState.QUARANTINED
    assert {one.state for one in await store.workers() if one.incarnation == "victim"} == {"dead"}


async def test_a_poisoned_run_that_was_told_of_its_cancel_is_quarantined_for_its_clean_up_may_be_repaired(store: Store) -> None:
    await store.start(new_run("poison"))
    await strike(store, STRIKES_MOST - 1, "poison")
    victim = await Worker(store, "victim").register()
    (claimed,) = await victim.claim(is_alone=True)
    await store.cancel("poison", SECOND)
    run = Mine(victim, "poison", claimed.row.created_at)
    await run.write(reads_inbox=True)

    await victim.dies("poison")

    row = await store.run("poison")
    assert row is not None
    assert row.state is RunState.QUARANTINED
