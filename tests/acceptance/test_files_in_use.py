"""G1: whatever else the process or an operator does with the files of an open store, what is acknowledged is where others look."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from perdure import workflow
from perdure.errors import StoreError, StoreFailed
from perdure.store.sqlite import holds
from tests.acceptance.harness import Stage

ROOT = Path(__file__).resolve().parents[2]
ANOTHER_PROCESS = """
import asyncio, sys
from perdure import Client, workflow

@workflow
async def flow() -> int: ...

async def main() -> None:
    async with Client("sqlite:///" + sys.argv[1]) as client:
        for run_id in sys.argv[2:]:
            await client.start(flow, id=run_id)
        print(*(run.id for run in (await client.runs()).runs))

asyncio.run(main())
"""
LOSES_ITS_WAL = """
import asyncio, os, sys
from perdure import Engine, workflow
from perdure.errors import StoreFailed

@workflow
async def flow() -> None: ...

async def main(path: str) -> None:
    async with Engine("sqlite:///" + path, []) as engine:
        await engine.start(flow, id="before")
        os.unlink(path + sys.argv[2])
        try:
            await engine.start(flow, id="after")
        except StoreFailed:
            print("refused", flush=True)
        os.kill(os.getpid(), 9)

asyncio.run(main(sys.argv[1]))
"""


@workflow
async def flow() -> int:
    return 1


def runs_that_another_process_sees(path: str, *starts: str) -> set[str]:
    command = [sys.executable, "-c", ANOTHER_PROCESS, path, *starts]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, cwd=ROOT).stdout.split())


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_a_copy_made_by_this_process_does_not_let_others_take_the_wal_away(stage: Stage, suffix: str) -> None:
    engine = await stage.engine(flow)
    await (await engine.start(flow, id="before")).result(30)

    shutil.copyfile(stage.path + suffix, stage.folder / "copy.db")  # closes the file, and with it drops the locks of this process
    runs_that_another_process_sees(stage.path)
    await (await engine.start(flow, id="after")).result(30)

    assert runs_that_another_process_sees(stage.path) == {"before", "after"}
    await stage.stop(engine)
    assert not os.path.exists(f"{stage.path}-wal"), "the last to leave tidies up"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the store notices it afterwards and stops")
async def test_another_copy_of_sqlite_that_looks_at_the_store_from_this_process_does_not_take_the_wal_away(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await stage.engine(flow)
    await (await engine.start(flow, id="before")).result(30)
    monkeypatch.setattr(holds, "path_of", lambda database: None)  # as a driver that does not tell what it opens

    theirs = sqlite3.connect(stage.path)
    assert theirs.execute("select id from runs").fetchall() == [("before",)]
    theirs.close()

    runs_that_another_process_sees(stage.path)
    await (await engine.start(flow, id="after")).result(30)
    assert runs_that_another_process_sees(stage.path) == {"before", "after"}


async def test_pythons_own_sqlite3_is_refused_on_a_store_that_is_open_and_only_there(stage: Stage) -> None:
    engine = await stage.engine(flow)
    await (await engine.start(flow, id="before")).result(30)
    (stage.folder / "link.db").symlink_to(stage.path)

    for database in (stage.path, Path(stage.path), f"file:{stage.path}?mode=ro", str(stage.folder / "link.db")):
        with pytest.raises(StoreError, match="from another process, or with apsw"):
            sqlite3.connect(database, uri=True)
    sqlite3.connect(stage.folder / "another.db").close()
    sqlite3.connect(":memory:").close()

    runs_that_another_process_sees(stage.path)
    await (await engine.start(flow, id="after")).result(30)
    assert runs_that_another_process_sees(stage.path) == {"before", "after"}
    await stage.stop(engine)
    sqlite3.connect(stage.path).close()


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
async def test_nothing_is_acknowledged_into_a_wal_that_others_do_not_see_and_what_was_is_saved(stage: Stage, suffix: str) -> None:
    engine = await stage.engine()
    await engine.start(flow, id="before")

    os.unlink(stage.path + suffix)

    with pytest.raises(StoreFailed, match=f"{suffix} has been removed or replaced.*restart all processes"):
        await engine.start(flow, id="after")
    with pytest.raises(StoreFailed, match="removed or replaced"):
        await engine.run("before").status()
    await stage.stop(engine)
    assert runs_that_another_process_sees(stage.path) == {"before"}


async def test_a_wal_that_goes_while_a_commit_is_under_way_is_no_acknowledgement(stage: Stage) -> None:
    engine = await stage.engine()
    await engine.start(flow, id="before")
    stage.commits.after = lambda: os.unlink(f"{stage.path}-wal")

    with pytest.raises(StoreFailed, match="removed or replaced"):
        await engine.start(flow, id="after")


async def test_what_others_wrote_since_the_wal_went_is_not_overwritten_at_the_end(stage: Stage) -> None:
    engine = await stage.engine()
    await engine.start(flow, id="before")
    await stage.stop(engine)  # which leaves all in the database, and no WAL
    engine = await stage.engine()
    await engine.start(flow, id="lost with the file")
    os.unlink(f"{stage.path}-wal")
    os.unlink(f"{stage.path}-shm")
    runs_that_another_process_sees(stage.path, "theirs")

    with pytest.raises(StoreFailed):
        await engine.start(flow, id="after")
    await stage.stop(engine)

    assert runs_that_another_process_sees(stage.path) == {"before", "theirs"}


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_what_was_acknowledged_before_the_wal_was_removed_survives_a_kill_after_it_was_noticed(tmp_path: Path, suffix: str) -> None:
    path = str(tmp_path / "store.db")

    done = subprocess.run(
        [sys.executable, "-c", LOSES_ITS_WAL, path, suffix], capture_output=True, text=True, timeout=30, cwd=ROOT, check=False
    )

    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "refused\n"), done.stderr
    assert "before" in runs_that_another_process_sees(path)
