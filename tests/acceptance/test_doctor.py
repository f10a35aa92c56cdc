"""`perdure doctor`: well for a healthy store, and for each thing that is wrong a sentence, a remedy and exit 1."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure import receive, step, workflow
from perdure.cli.main import perform
from perdure.store.sqlite import vitals
from perdure.store.sqlite.database import Database
from tests.acceptance.harness import CALM, Stage

Examined = Callable[..., Any]


@step
async def reserve() -> str:
    return "reserved"


@workflow
async def hear() -> str:
    return await receive("word", str)


@workflow(name="hear")
async def reserve_and_hear() -> str:
    await reserve()
    return await receive("word", str)


@workflow
async def other() -> None:
    return None


@pytest.fixture
def examined(stage: Stage, capsys: pytest.CaptureFixture[str]) -> Examined:
    """The exit status and what was found, as JSON; in a thread, for the command has an event loop of its own."""

    async def examine(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        status = await asyncio.to_thread(perform, ["doctor", "--store", stage.url, "-o", "json", *arguments])
        document = json.loads(capsys.readouterr().out)
        assert document["ok"] == (status == 0)
        return status, document["findings"]

    return examine


def wrong(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [one for one in findings if one["level"] == "wrong"]
    assert all(one["remedy"] for one in found)
    return found


async def test_a_healthy_store_with_a_worker_is_well(stage: Stage, examined: Examined) -> None:
    engine = await stage.engine(hear)
    await stage.until_parked(engine, await engine.start(hear))

    status, findings = await examined()

    assert (status, wrong(findings)) == (0, [])
    said = {one["subject"]: one["what"] for one in findings}
    assert {"versions", "clock", "schema", "durability", "file system", "disk", "privileges", "runs", "workers"} <= said.keys()
    assert "journal_mode=wal, synchronous=full" in said["durability"]
    assert "1 waiting" in said["runs"]
    assert f"pid {os.getpid()}" in said["workers"]


async def test_it_changes_nothing(stage: Stage, examined: Examined) -> None:
    engine = await stage.engine(hear)
    await stage.until_parked(engine, await engine.start(hear))
    await stage.stop(engine)
    before = stage.content()
    await examined()

    assert stage.content() == before


async def test_unfinished_runs_without_any_worker_are_wrong(stage: Stage, examined: Examined) -> None:
    engine = await stage.engine(hear)
    await stage.until_parked(engine, await engine.start(hear))
    await stage.stop(engine)

    status, findings = await examined()

    assert status == 1
    assert [one["subject"] for one in wrong(findings)] == ["workers"]
    assert "perdure worker" in wrong(findings)[0]["remedy"]


async def test_a_signal_whose_run_cannot_be_told_any_more_is_wrong(stage: Stage, examined: Examined) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    await stage.until_parked(engine, run)
    stage.sql(
        "insert into inbox (namespace, run_id, number, arrived_at, id, topic, payload) "
        "values ('default', cast(x'6fff' as text), 1, 1, 's1', 'word', x'31')"
    )

    status, findings = await examined()

    assert status == 1
    assert [one["subject"] for one in wrong(findings)] == ["inboxes"]


async def test_no_worker_and_nothing_to_do_is_no_error(stage: Stage, examined: Examined) -> None:
    await stage.stop(await stage.engine(hear))

    assert (await examined())[0] == 0


async def test_f64_a_workflow_that_no_live_worker_knows_is_wrong_and_named(stage: Stage, examined: Examined) -> None:
    first = await stage.engine(hear)
    await stage.until_parked(first, await first.start(hear))
    await stage.stop(first)
    await stage.engine(other)

    status, findings = await examined()

    assert status == 1
    assert "no live worker knows workflow 'hear', which has 1 unfinished" in wrong(findings)[0]["what"]


async def test_a_run_that_waits_for_another_python_is_wrong_and_says_which(stage: Stage, examined: Examined) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    await stage.until_parked(engine, run)
    stage.sql("update runs set only_python = '3.99', wake_at = 1 where id = ?", run.id)

    status, findings = await examined()

    assert status == 1
    assert run.id in wrong(findings)[0]["what"]
    assert "python3.99 -m perdure worker" in wrong(findings)[0]["remedy"]


async def test_a_quarantined_run_is_wrong_with_its_reason(stage: Stage, examined: Examined) -> None:
    first = await stage.engine(reserve_and_hear)
    run = await first.start("hear", id="call")
    await stage.until_parked(first, run)
    await stage.stop(first)
    engine = await stage.engine(hear)
    await engine.run("call").signal("word", "hello")
    await stage.until_state(engine.run("call"), "quarantined")

    status, findings = await examined()

    assert status == 1
    assert "perdure run resume" in wrong(findings)[0]["remedy"]
    assert any("call (hear): NonDeterminism" in one["what"] for one in findings)


async def test_a_dead_worker_that_nobody_has_swept_is_shown(stage: Stage, examined: Examined) -> None:
    dying = await stage.engine(hear, settings=replace(CALM, linger_seconds=60.0))
    run = await dying.start(hear)
    await stage.until(lambda: run.id in dying.worker.live)
    await stage.kill(dying)

    status, findings = await examined()

    assert status == 1
    assert any("is dead and was not swept yet" in one["what"] for one in findings)


async def test_a_clock_that_was_set_back_is_wrong(stage: Stage, examined: Examined) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    await stage.until_parked(engine, run)
    stage.sql("update runs set created_at = created_at + 3600000000")

    status, findings = await examined()

    assert status == 1
    assert "the clock was set back" in wrong(findings)[0]["what"]


async def test_a_full_disk_is_wrong(stage: Stage, examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.stop(await stage.engine(hear))
    monkeypatch.setattr(vitals, "FREE_BYTES_LEAST", shutil.disk_usage(stage.folder).total + 1)

    status, findings = await examined()

    assert (status, [one["subject"] for one in wrong(findings)]) == (1, ["disk"])


def test_settings_that_could_lose_what_was_acknowledged_are_wrong(tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / "s.db"))
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "normal")

    found = vitals.durability(db)

    assert (found.level, "synchronous=normal" in found.what) == ("wrong", True)
    assert found.remedy
    db.close()


async def test_a_store_that_does_not_exist_is_wrong_and_not_made(stage: Stage, examined: Examined) -> None:
    status, findings = await examined()

    assert (status, [one["subject"] for one in wrong(findings)]) == (1, ["store"])
    assert not Path(stage.path).exists()


async def test_a_store_that_lacks_migrations_is_wrong(stage: Stage, examined: Examined) -> None:
    await stage.stop(await stage.engine(hear))
    stage.sql("delete from perdure_migrations where number = (select max(number) from perdure_migrations)")

    status, findings = await examined()

    assert status == 1
    assert "perdure db migrate" in wrong(findings)[0]["remedy"]


async def test_a_file_that_this_user_cannot_write_is_wrong(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.stop(await stage.engine(hear))
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("-locks") and may(path, mode))  # root may everything

    found = [one for one in vitals.surroundings(Database(stage.path)) if one.level == "wrong"]

    assert [one.subject for one in found] == ["privileges"]
    assert f"{stage.path}-locks" in found[0].what


async def test_quiet_prints_what_is_wrong_only(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await stage.stop(await stage.engine(hear))
    assert await asyncio.to_thread(perform, ["doctor", "--store", stage.url, "-q"]) == 0
    assert capsys.readouterr().out == ""


def test_db_status_of_a_store_that_lacks_migrations_is_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    perform(["db", "migrate", "--store", url, "-q"])
    db = apsw.Connection(str(tmp_path / "s.db"))
    newest = max(number for (number,) in db.execute("select number from perdure_migrations").fetchall())
    db.execute("delete from perdure_migrations where number = ?", (newest,)).fetchall()
    db.close()
    capsys.readouterr()

    assert perform(["db", "status", "--store", url, "-o", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["version"], document["newest"], len(document["pending"])) == (newest - 1, newest, 1)
