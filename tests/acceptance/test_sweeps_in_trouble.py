"""What a sweep cannot tell of one worker ends no other: without file descriptors, with files it may not read, over other mount points."""

import asyncio
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from perdure import Engine, receive, workflow
from perdure.errors import StoreUnavailable
from perdure.store.sqlite.store import SqliteStore
from tests.acceptance.harness import CALM, Stage
from tests.mounts import at_another_place, needs_mounts

SWEEPING = replace(CALM, sweep_seconds=0.05)
ROOT = Path(__file__).resolve().parents[2]


@workflow
async def quick() -> int:
    return 1


@workflow
async def hear() -> str:
    return await receive("go", str)


def open_all(held: list[int]) -> None:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))


async def test_a_moment_without_file_descriptors_ends_no_worker(stage: Stage) -> None:
    engines = [await stage.engine(quick, settings=SWEEPING) for _ in range(2)]
    await stage.until_sweep()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    held: list[int] = []
    try:
        with pytest.raises(OSError, match="Too many open files"):
            open_all(held)
        await stage.until_sweep()
    finally:
        for one in held:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
    await stage.until_sweep()

    assert not any(engine.failure.done() for engine in engines)
    assert await (await engines[0].start(quick)).result(30) == 1


async def test_crumbs_of_the_dead_that_may_not_be_read_end_no_worker_and_strand_no_run(stage: Stage) -> None:
    engine = await stage.engine(hear, settings=replace(SWEEPING, linger_seconds=60.0))
    run = await engine.start(hear, id="order")
    await stage.until(lambda: run.id in engine.worker.live)
    crumbs = Path(engine.worker._lease.presence.path).with_suffix(".crumbs")
    await stage.kill(engine)
    crumbs.unlink()
    crumbs.mkdir()  # as a file of another user: root may read every file

    again = await stage.engine(hear, settings=SWEEPING)
    await again.run("order").signal("go", "on")

    assert await again.run("order").result(30) == "on"
    await stage.until_sweep()
    assert not again.failure.done()
    crumbs.rmdir()


async def test_an_engine_that_could_not_begin_leaves_no_files(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.stop(await stage.engine())

    async def register(*_: object, **__: object) -> None:
        raise StoreUnavailable("busy")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "register", register)
        with pytest.raises(StoreUnavailable):
            await Engine(stage.url, []).__aenter__()

    assert os.listdir(f"{stage.path}-locks") == []


TWO_PLACES = """
import asyncio, sys
from dataclasses import replace
from perdure import Engine
from perdure.engine.ports import Ports
from perdure.settings import Settings

async def main(path: str) -> None:
    swept = asyncio.Semaphore(0)
    reached = lambda point: swept.release() if point == "sweep.done" else None
    async with Engine("sqlite:///" + path, [], settings=Settings(sweep_seconds=0.05), ports=replace(Ports(), reached=reached)) as engine:
        for _ in range(5):
            await swept.acquire()
        print(engine.worker.incarnation, flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main(sys.argv[1]))
"""


@needs_mounts
async def test_two_containers_that_have_one_volume_at_two_places_do_not_take_each_other_for_dead(stage: Stage, tmp_path: Path) -> None:
    engine = await stage.engine(settings=SWEEPING)
    first = engine.worker.incarnation
    (tmp_path / "elsewhere").mkdir()
    elsewhere = str(tmp_path / "elsewhere")
    command = at_another_place(str(stage.folder), elsewhere, sys.executable, "-c", TWO_PLACES, f"{elsewhere}/store.db")
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert other.stdin is not None
    assert other.stdout is not None
    second = (await asyncio.to_thread(other.stdout.readline)).strip()
    for _ in range(5):
        await stage.until_sweep()

    assert {row[0]: row[1] for row in stage.sql("select incarnation, state from workers")} == {first: "live", second: "live"}
    assert engine.worker.incarnation == first
    other.communicate("end\n", timeout=30)


@pytest.mark.parametrize("damage", ["'a' || char(0) || '.lock'", "cast(x'61ff' as text)", "''"], ids=["zero", "no-text", "none"])
@pytest.mark.parametrize("state", ["live", "dead"])
async def test_a_damaged_row_of_another_worker_ends_no_worker_and_strands_no_run(stage: Stage, state: str, damage: str) -> None:
    other = await stage.engine(hear, settings=replace(CALM, linger_seconds=600.0))
    run = await other.start(hear)
    await stage.until(lambda: run.id in other.worker.live)
    incarnation = other.worker.incarnation
    await stage.kill(other)
    stage.sql(f"update workers set state = ?, lock = {damage} where incarnation = ?", state, incarnation)
    stage.clock.boot_moved += CALM.lease_seconds + 1

    engine = await stage.engine(hear, settings=SWEEPING)
    await engine.run(run.id).signal("go", "on")

    assert await engine.run(run.id).result(30) == "on"
    await stage.until_sweep()
    assert not engine.failure.done()
