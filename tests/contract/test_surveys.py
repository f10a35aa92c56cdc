"""What workers look at again and again tells the same as the questions one by one."""

from perdure.clock import SECOND
from perdure.store.protocol import Store
from tests.contract.acting import LIMIT, START, ManualClock, Worker, new_run, signal
from tests.contract.places import Place


async def test_in_an_empty_store_there_is_nothing_to_see(store: Store) -> None:
    survey = await store.survey(["flow"])
    outlook = await store.outlook(["flow"], "nobody", 10)

    assert (list(survey.workers), survey.has_missed, survey.has_outdated, survey.is_claimable) == ([], False, False, False)
    assert (list(outlook.addressed), outlook.is_claimable, outlook.next_wake) == ([], False, None)


async def test_a_survey_shows_all_workers_and_a_run_that_is_due(store: Store, worker: Worker) -> None:
    other = await Worker(store, "worker-2").register()
    await store.retire(other.incarnation)
    await store.start(new_run("order-1"))

    survey = await store.survey(["flow"])

    assert survey.workers == await store.workers()
    assert survey.is_claimable
    assert not (await store.survey(["other"])).is_claimable


async def test_a_survey_shows_that_runs_of_the_dead_can_be_claimed(store: Store, worker: Worker) -> None:
    await worker.run("order-1")
    assert not (await store.survey(["flow"])).is_claimable

    await store.retire("worker-1")

    assert (await store.survey(["flow"])).is_claimable
    assert (await store.outlook(["flow"], "heir", 10)).is_claimable


async def test_a_survey_shows_a_missed_wake_up(shared: Place, clock: ManualClock) -> None:
    store = await shared.open()
    worker = await Worker(store, "worker-1").register()
    await (await worker.run("order-1")).park()
    await store.send(signal("order-1", "s1"), LIMIT)
    assert not (await store.survey(["flow"])).has_missed

    shared.execute("update runs set wake_at = null where state = 'waiting'")

    assert (await store.survey(["flow"])).has_missed


async def test_an_outlook_shows_own_runs_with_signals_or_wishes_and_the_next_moment(store: Store, worker: Worker) -> None:
    other = await Worker(store, "worker-2").register()
    await worker.run("a")
    await worker.run("b")
    await worker.run("c")
    await other.run("theirs")
    await (await worker.run("asleep")).park(START + 60 * SECOND)
    for run_id in ("b", "theirs"):
        await store.send(signal(run_id, f"for-{run_id}"), LIMIT)
    await store.pause("a")

    outlook = await store.outlook(["flow"], "worker-1", 10)

    assert list(outlook.addressed) == ["a", "b"]
    assert (outlook.is_claimable, outlook.next_wake) == (False, START + 60 * SECOND)


async def test_an_examination_names_signals_that_wait_for_a_run_that_does_not_exist(shared: Place) -> None:
    store = await shared.open()
    await (await Worker(store, "worker-1").register()).run("order-1")
    await store.send(signal("order-1", "s1"), LIMIT)

    async def said() -> tuple[str, str]:
        (found,) = [one for one in await store.examine() if one.subject == "inboxes"]
        return found.level, found.what

    assert (await said())[0] == "ok"
    shared.execute("update inbox set run_id = 'ordes-1'")

    level, what = await said()
    assert level == "wrong"
    assert "'ordes-1'" in what
