"""Several stores, also of several processes, on one database."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from perdure.errors import RunEnded
from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import RunState
from perdure.store.endings import Finish, Park
from tests.contract.acting import LIMIT, ManualClock, Worker, history_of, kinds, new_run, signal, step
from tests.contract.places import Place, SqlitePlace

RUNS = 1200
CLAIMER = """
import asyncio, json, sys
from pathlib import Path
from tests.contract.acting import ManualClock, Worker
from tests.contract.places import SqlitePlace

async def main(path, name):
    place = SqlitePlace(path, ManualClock())
    store = await place.open()
    worker = await Worker(store, name).register()
    mine = [one.row.id for one in await worker.claim(7)]
    print("ready", flush=True)
    sys.stdin.readline()
    while claimed := await worker.claim(7):
        mine += [one.row.id for one in claimed]
    print(json.dumps(mine), flush=True)
    await place.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_no_run_is_claimed_twice_by_two_stores(shared: Place) -> None:
    stores = [await shared.open() for _ in range(3)]
    workers = [await Worker(store, f"worker-{number}").register() for number, store in enumerate(stores)]
    await asyncio.gather(*(stores[number % 3].start(new_run(f"order-{number:04}")) for number in range(RUNS)))

    async def claim_all(worker: Worker) -> list[str]:
        mine: list[str] = []
        while claimed := await worker.claim(7):
            mine += [one.row.id for one in claimed]
        return mine

    claimed = await asyncio.gather(*(claim_all(worker) for worker in workers))

    counts = Counter(run_id for mine in claimed for run_id in mine)
    assert len(counts) == RUNS
    assert max(counts.values()) == 1


async def test_b6_no_run_is_claimed_twice_by_two_processes(tmp_path: Path) -> None:
    place = SqlitePlace(str(tmp_path / "store.db"), ManualClock())
    store = await place.open()
    await asyncio.gather(*(store.start(new_run(f"order-{number:04}")) for number in range(RUNS)))
    await place.close()
    command = [sys.executable, "-c", CLAIMER, place.path]
    root = Path(__file__).resolve().parents[2]
    processes = [
        subprocess.Popen([*command, f"worker-{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
        for number in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    claimed = [json.loads(process.communicate(timeout=60)[0]) for process in processes]

    counts = Counter(run_id for mine in claimed for run_id in mine)
    assert len(counts) == RUNS
    assert max(counts.values()) == 1


async def test_a_signal_through_one_store_reaches_the_run_of_another(shared: Place) -> None:
    owning, sending = await shared.open(), await shared.open()
    worker = await Worker(owning, "worker-1").register()
    run = await worker.run("order-1")

    await sending.send(signal("order-1", "s1"), LIMIT)

    assert kinds(await run.write(reads_inbox=True)) == ["signal"]
    assert kinds(await history_of(sending, "order-1")) == ["started", "signal"]


async def test_a_parking_run_and_a_signal_from_elsewhere_never_miss_each_other(shared: Place) -> None:
    owning, sending = await shared.open(), await shared.open()
    worker = await Worker(owning, "worker-1").register()
    for number in range(40):
        run = await worker.run(f"order-{number}")
        parked, _ = await asyncio.gather(worker.commit(run.change(ending=Park(None, b"[]"))), sending.send(signal(run.id, "s1"), LIMIT))
        if parked.written[0].has_left:
            assert [one.row.id for one in await worker.claim()] == [run.id]
        assert kinds(await run.write(reads_inbox=True)) == ["signal"]


async def test_an_ending_run_and_a_signal_from_elsewhere_either_has_it_in_its_history_or_refuses_it(shared: Place) -> None:
    owning, sending = await shared.open(), await shared.open()
    worker = await Worker(owning, "worker-1").register()
    for number in range(40):
        run = await worker.run(f"order-{number}")
        ended = NewRecord(RecordKind.COMPLETED, output=b"1")
        change = run.change(ending=Finish(RunState.COMPLETED, ended))
        _, answer = await asyncio.gather(worker.commit(change), sending.send(signal(run.id, "s1"), LIMIT), return_exceptions=True)
        recorded = [record.kind for records in (await owning.history(run.id)).values() for record in records]
        assert (RecordKind.SIGNAL in recorded) == (not isinstance(answer, RunEnded)), (answer, recorded)
        assert await sending.undelivered(10) == []


async def test_an_ending_run_and_a_cancel_from_elsewhere_either_ends_cancelled_or_refuses_it(shared: Place) -> None:
    owning, wanting = await shared.open(), await shared.open()
    worker = await Worker(owning, "worker-1").register()
    for number in range(40):
        run = await worker.run(f"order-{number}")
        ended = NewRecord(RecordKind.COMPLETED, output=b"1")
        change = run.change(ending=Finish(RunState.COMPLETED, ended))
        _, answer = await asyncio.gather(worker.commit(change), wanting.cancel(run.id, 1), return_exceptions=True)
        row = await owning.run(run.id)
        assert row is not None
        assert (row.state is RunState.CANCELLED) == (not isinstance(answer, RunEnded)), (answer, row.state)


async def test_two_stores_write_different_runs_at_once_without_loss(shared: Place) -> None:
    stores = [await shared.open() for _ in range(2)]
    workers = [await Worker(store, f"worker-{number}").register() for number, store in enumerate(stores)]
    runs = [await worker.run(f"order-{number}") for number, worker in enumerate(workers)]

    async def write(index: int) -> None:
        for number in range(60):
            await runs[index].write(step(number))

    await asyncio.gather(write(0), write(1))

    for run in runs:
        assert [record.command for record in await history_of(stores[0], run.id)] == [None, *range(60)]
