"""Starting a run."""

import asyncio

import pytest

from perdure.model.records import RecordKind
from perdure.model.runs import NewRun
from perdure.model.states import RunState
from perdure.store.protocol import BadItem, Claimant, Store
from tests.contract.acting import START, ManualClock, Worker, new_run
from tests.contract.places import Place


async def test_a_started_run_is_pending_and_due_at_once(store: Store) -> None:
    started = await store.start(new_run("order-1", input=b'{"amount":3}'))

    row = started.row
    assert started.is_new
    assert (row.id, row.workflow, row.input, row.input_hash, row.seed) == ("order-1", "flow", b'{"amount":3}', b"hash", b"seed")
    assert (row.state, row.generation, row.created_at, row.wake_at) == (RunState.PENDING, 0, START, START)
    assert (row.owner, row.python, row.needs_python, row.ended_at, row.issued) == (None, None, False, None, 0)
    assert (row.note, row.waiting_for, row.error) == (None, None, None)
    assert await store.run("order-1") == row


async def test_a_second_start_of_the_same_id_returns_what_stands_there_and_changes_nothing(store: Store, clock: ManualClock) -> None:
    first = await store.start(new_run("order-1", input=b"1", input_hash=b"one"))
    clock.advance(60)

    again = await store.start(NewRun("order-1", "other", b"2", b"two", b"seed of the second"))

    assert not again.is_new
    assert again.row == first.row
    assert await store.run("order-1") == first.row


async def test_of_many_starts_of_one_id_at_once_exactly_one_is_new(store: Store) -> None:
    answers = await asyncio.gather(*(store.start(new_run("order-1", input_hash=bytes([number]))) for number in range(20)))

    assert [answer.is_new for answer in answers].count(True) == 1
    assert len({answer.row.input_hash for answer in answers}) == 1


async def test_a_start_of_an_ended_run_returns_the_ended_run(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.finish()

    again = await store.start(new_run("order-1"))

    assert not again.is_new
    assert again.row.state is RunState.COMPLETED


async def test_a_run_that_is_claimed_as_it_is_started_stands_as_after_a_claim(store: Store, worker: Worker, clock: ManualClock) -> None:
    await worker.run("claimed")
    (usual,) = (await store.load(["claimed"])).values()

    started = await store.start(new_run("started"), Claimant(worker.incarnation, worker.python))

    (loaded,) = (await store.load(["started"])).values()
    assert (loaded.row._replace(id="claimed"), loaded.records) == (usual.row, usual.records)
    assert loaded.row.state is RunState.RUNNING
    assert started.claimed is not None
    assert (started.claimed.row._replace(key_generation=0), started.claimed.started) == (loaded.row, loaded.records[0])
    assert loaded.records[0].kind is RecordKind.STARTED
    assert await worker.claim() == []
    assert (await worker.commit(lists_owned=True)).owned == {"claimed", "started"}


async def test_a_run_is_not_claimed_for_a_worker_that_is_dead_or_unknown(store: Store, worker: Worker) -> None:
    await worker.dies()

    for number, incarnation in enumerate((worker.incarnation, "never seen")):
        started = await store.start(new_run(f"order-{number}"), Claimant(incarnation, "3.11"))
        assert started.claimed is None
        assert started.row.state is RunState.PENDING
        assert await store.run(f"order-{number}") == started.row
        assert (await store.load([f"order-{number}"]))[f"order-{number}"].records == []


async def test_a_start_of_a_taken_id_claims_nothing(store: Store, worker: Worker) -> None:
    await store.start(new_run("order-1"))

    again = await store.start(new_run("order-1"), Claimant(worker.incarnation, worker.python))

    assert (again.is_new, again.claimed, again.row.state) == (False, None, RunState.PENDING)
    assert [one.row.id for one in await worker.claim()] == ["order-1"]


async def test_starts_with_and_without_a_claimant_go_together(store: Store, worker: Worker) -> None:
    claimant = Claimant(worker.incarnation, worker.python)
    answers = await asyncio.gather(
        *(store.start(new_run(f"order-{number // 2}"), claimant if number % 3 else None) for number in range(20))
    )

    assert sum(answer.is_new for answer in answers) == 10
    assert {answer.claimed is not None for answer in answers} == {True, False}
    owned = {answer.row.id for answer in answers if answer.claimed is not None}
    assert (await worker.commit(lists_owned=True)).owned == owned
    assert {one.row.id for one in await worker.claim()} == {f"order-{number}" for number in range(10)} - owned


async def test_what_was_claimed_as_it_was_started_is_claimed_by_others_when_its_worker_dies(store: Store, worker: Worker) -> None:
    other = await Worker(store, "worker-2").register()
    started = await store.start(new_run("order-1"), Claimant(worker.incarnation, worker.python))
    assert started.claimed is not None
    await worker.dies()

    (claimed,) = await other.claim()

    assert claimed.row.id == "order-1"
    assert claimed.row.fencing > started.row.fencing


async def test_a_run_that_cannot_be_stored_is_refused_and_its_neighbours_are_not(store: Store) -> None:
    answers = await asyncio.gather(
        store.start(new_run("before")), store.start(new_run("broken \ud800")), store.start(new_run("after")), return_exceptions=True
    )

    assert isinstance(answers[1], BadItem)
    assert await store.run("before") is not None
    assert await store.run("after") is not None


async def test_runs_of_one_id_in_two_namespaces_are_two_runs(shared: Place, store: Store) -> None:
    other = await shared.open("other")
    await store.start(new_run("order-1", input=b"1"))

    assert await other.run("order-1") is None
    started = await other.start(new_run("order-1", input=b"2"))

    assert started.is_new
    row = await store.run("order-1")
    assert row is not None
    assert row.input == b"1"


@pytest.mark.parametrize("payload", [b"", b"\0\xff" * 10, b"x" * 1_048_576])
async def test_inputs_come_back_byte_by_byte(store: Store, payload: bytes) -> None:
    await store.start(new_run("order-1", input=payload))

    row = await store.run("order-1")

    assert row is not None
    assert row.input == payload


async def test_an_id_with_a_character_that_the_database_does_not_know_is_refused_or_kept(place: Place, store: Store) -> None:
    run_id = "nul \0 inside"
    if place.refuses_nul:
        with pytest.raises(BadItem):
            await store.start(new_run(run_id))
    else:
        await store.start(new_run(run_id))
        assert [summary.id for summary in await store.runs()] == [run_id]


@pytest.mark.parametrize("run_id", ["ünïcode ☂", "with\nnewline", "a" * 200, "quote ' and \" and ;", "%_"])
async def test_any_text_is_an_id(store: Store, run_id: str) -> None:
    await store.start(new_run(run_id))

    loaded = await store.load([run_id])

    assert list(loaded) == [run_id]
    assert [summary.id for summary in await store.runs()] == [run_id]
