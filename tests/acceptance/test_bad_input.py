"""What bad input gets: a clear error, where it is given, and nothing changed."""

import asyncio
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw
import pytest

from perdure import Client, Engine, Retry, receive, sleep_until, step, workflow
from perdure.errors import (
    BadInput,
    DecodeError,
    EncodeError,
    NotAStore,
    NotInWorkflow,
    RunFailed,
    SchemaTooNew,
    StoreError,
    StoreIsReadOnly,
    StoreNotFound,
    UnsafeFileSystem,
)
from perdure.store.sqlite import filesystems
from tests.acceptance.harness import Stage, kinds


@dataclass
class Order:
    item: str
    count: int


@step
async def keep(value: Any) -> str:
    return "kept"


@workflow
async def buy(order: Order, *, express: bool = False) -> int:
    return order.count


@workflow
async def hear() -> int:
    return await receive("number", int)


# ── arguments ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, "argument 'order' is missing"),
        ((Order("book", 1),), {"quick": True}, "there is no parameter 'quick'"),
        ((Order("book", 1), True), {}, "too many positional arguments"),
        ((Order("book", 1),), {"order": Order("pen", 1)}, "order"),
        ((Order("book", "many"),), {}, r"order\.count"),
        (("book",), {}, "order"),
        ((Order("book", 1),), {"express": "perhaps"}, "express"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_arguments_that_do_not_fit_are_refused_at_start_with_the_field_named(
    stage: Stage, args: tuple[Any, ...], kwargs: dict[str, Any], says: str
) -> None:
    engine = await stage.engine(buy)

    with pytest.raises(BadInput, match=f"buy.*{says}|{says}.*buy"):
        await engine.start(buy, *args, **kwargs)

    assert stage.content()["runs"] == []


async def test_arguments_given_by_name_of_the_workflow_are_checked_by_the_worker_and_fail_the_run(stage: Stage) -> None:
    await stage.engine(buy)
    run = await (await stage.client()).start("buy", {"item": "book", "count": "many"})

    with pytest.raises(RunFailed, match=r"order\.count"):
        await run.result(10)


async def test_arguments_that_have_no_json_form_are_refused_with_the_field_named(stage: Stage) -> None:
    @workflow
    async def flow(thing: Any) -> None:
        return None

    engine = await stage.engine(flow)
    with pytest.raises(EncodeError, match="workflow flow.*thing"):
        await engine.start(flow, object())
    assert stage.content()["runs"] == []


async def test_a_signal_that_has_no_json_form_is_refused(stage: Stage) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)

    with pytest.raises(EncodeError, match="signal number"):
        await run.signal("number", object())
    assert stage.content()["inbox"] == []


@pytest.mark.parametrize("name", ["", "x" * 201, "line\nbreak", "\0"], ids=["empty", "too long", "line break", "nul"])
async def test_ids_topics_keys_and_names_that_nobody_could_read_are_refused(stage: Stage, name: str) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    before = stage.content()["runs"][0][1]

    for asked, what in (
        (engine.start(hear, id=name), "id"),
        (engine.start(name), "workflow name"),
        (run.signal(name, 1), "topic"),
        (run.signal("number", 1, key=name), "key"),
    ):
        with pytest.raises(BadInput, match=f"{what} must be"):
            await asked
    assert [row[1] for row in stage.content()["runs"]] == [before]
    assert stage.content()["inbox"] == stage.content()["signal_keys"] == []


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_result_that_cannot_be_stored_fails_that_step_at_once_with_its_name(stage: Stage) -> None:
    tries = 0

    @step(retry=Retry(initial=0, jitter=0))
    async def make() -> Any:
        nonlocal tries
        tries += 1
        return object()

    @workflow
    async def flow() -> str:
        try:
            await make()
        except EncodeError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    run = await engine.start(flow)

    assert "result of step make" in await run.result(10)
    assert tries == 1
    assert [(one.kind, one.attempt) for one in await run.history()] == [("started", 0), ("step_failed", 1), ("completed", 0)]


async def test_arguments_of_a_step_that_cannot_be_stored_are_refused_before_it_begins(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        try:
            await keep(object())
        except EncodeError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    run = await engine.start(flow)

    assert "step keep" in await run.result(10)
    assert await kinds(run) == ["started", "completed"]


async def test_a_result_of_a_workflow_that_cannot_be_stored_fails_the_run(stage: Stage) -> None:
    @workflow
    async def flow() -> Any:
        return object()

    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match="result of workflow flow"):
        await (await engine.start(flow)).result(10)


async def test_a_signal_that_does_not_fit_what_is_received_is_an_error_there_and_the_next_one_is_received(stage: Stage) -> None:
    @workflow
    async def flow() -> list[Any]:
        said: list[Any] = []
        for _ in range(2):
            try:
                said.append(await receive("number", int))
            except DecodeError as error:
                said.append(str(error))
        return said

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("number", "many")
    await run.signal("number", 5)

    first, second = await run.result(10)
    assert "signal number" in first
    assert second == 5


# ── moments and durations ────────────────────────────────────────────────────────────────────────────────────────────

ABSURD = [-1, -0.001, math.nan, math.inf, 1e15, timedelta(seconds=-1), timedelta.max]


@pytest.mark.parametrize("length", ABSURD, ids=str)
async def test_negative_nan_and_huge_durations_are_refused_by_every_setting(stage: Stage, length: Any) -> None:
    for ask in (
        lambda: Retry(initial=length),
        lambda: Retry(maximum=length),
        lambda: Retry(give_up_after=length),
        lambda: step(timeout=length),
        lambda: keep.options(timeout=length),
    ):
        with pytest.raises(ValueError, match="must not be negative|must be finite|longer than 365000 days"):
            ask()
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    with pytest.raises(ValueError, match="timeout"):
        await run.result(length)


@pytest.mark.parametrize("length", ABSURD, ids=str)
async def test_negative_nan_and_huge_durations_are_refused_in_workflow_code(stage: Stage, length: Any) -> None:
    @workflow
    async def flow() -> str:
        try:
            await receive("number", int, timeout=length)
        except ValueError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    assert "timeout" in await (await engine.start(flow)).result(10)


@pytest.mark.parametrize("length", [math.nan, math.inf, 1e15], ids=str)
async def test_a_sleep_without_end_is_refused_with_its_line(stage: Stage, length: float) -> None:
    @workflow
    async def flow() -> str:
        try:
            await asyncio.sleep(length)
        except ValueError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    said = await (await engine.start(flow)).result(10)
    assert "nan" in said.lower() or ("must be finite" in said and "test_bad_input.py" in said)


async def test_a_moment_without_a_time_zone_is_refused(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        try:
            await sleep_until(datetime(2126, 1, 1))
        except ValueError as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    assert "has no time zone; use datetime.now(UTC)" in await (await engine.start(flow)).result(10)


@pytest.mark.parametrize(
    "bad",
    [{"attempts": 0}, {"attempts": 1.5}, {"attempts": True}, {"factor": 0.5}, {"factor": math.nan}, {"jitter": 1}, {"jitter": -0.1}],
    ids=str,
)
def test_a_retry_that_makes_no_sense_is_refused_where_it_is_written(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Retry(**bad)


def test_what_is_no_async_function_is_refused_as_a_workflow_and_a_generator_as_a_step() -> None:
    with pytest.raises(TypeError, match="a workflow is an `async def`; 'plain' is not"):

        @workflow
        def plain() -> None:
            return None

    with pytest.raises(TypeError, match="numbers.? is a generator; a step returns one value"):

        @step
        async def numbers():
            yield 1


async def test_waiting_outside_a_run_says_where_it_works() -> None:
    with pytest.raises(NotInWorkflow, match="receive.. works inside a workflow only, and not inside a step"):
        await receive("word")


async def test_waiting_inside_a_step_says_where_it_works(stage: Stage) -> None:
    @step
    async def waits() -> None:
        await receive("word")

    @workflow
    async def flow() -> str:
        try:
            await waits.options(retry=Retry(attempts=1))()
        except NotInWorkflow as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    assert "works inside a workflow only" in await (await engine.start(flow)).result(10)


# ── stores ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def opened(kind: str, url: str) -> None:
    async with Engine(url, [hear]) if kind == "engine" else Client(url):
        pass


@pytest.mark.parametrize("kind", ["engine", "client"])
async def test_a_file_that_is_no_database_is_refused_and_not_touched(stage: Stage, kind: str) -> None:
    content = b"my diary, not a database. " * 100
    Path(stage.path).write_bytes(content)

    with pytest.raises(NotAStore, match="store.db is not an SQLite database; choose another file"):
        await opened(kind, stage.url)
    assert Path(stage.path).read_bytes() == content


@pytest.mark.parametrize("kind", ["engine", "client"])
async def test_a_database_of_something_else_is_refused_and_not_touched(stage: Stage, kind: str) -> None:
    stage.sql("create table recipes (name text)")

    with pytest.raises(NotAStore, match=r"is a database of something else \(it has recipes\); choose another file"):
        await opened(kind, stage.url)
    assert stage.sql("select name from sqlite_schema") == [("recipes",)]
    assert stage.sql("pragma journal_mode") == [("delete",)]


@pytest.mark.parametrize("kind", ["engine", "client"])
async def test_a_store_of_a_newer_schema_is_refused(stage: Stage, kind: str) -> None:
    await stage.stop(await stage.engine())
    stage.sql("insert into perdure_migrations values (99, '0099_future', 'x', 0)")

    with pytest.raises(SchemaTooNew, match=r"a newer perdure has migrated the store \(0099_future\).*upgrade perdure"):
        await opened(kind, stage.url)


@pytest.mark.parametrize("kind", ["engine", "client"])
async def test_a_store_on_a_network_file_system_is_refused(stage: Stage, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.stop(await stage.engine())
    mounts = stage.folder / "mounts"
    mounts.write_text(f"server:/share {stage.folder} nfs4 rw 0 0\n")
    monkeypatch.setattr(filesystems, "MOUNTS", str(mounts))

    with pytest.raises(UnsafeFileSystem, match=r"is on a network file system \(nfs4\).*keep the store on a disk of this machine"):
        await opened(kind, stage.url)


@contextmanager
def without_the_rights_of_root() -> Iterator[None]:
    """As another user where the tests run as root, for root may write everything."""
    if os.getuid():
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize("kind", ["engine", "client"])
@pytest.mark.parametrize("what", ["file", "folder"])
async def test_a_store_that_cannot_be_written_is_refused(what: str, kind: str) -> None:
    with TemporaryDirectory() as name:  # the folders above that of the stage are closed to others
        folder, file = Path(name), Path(name, "store.db")
        async with Engine(f"sqlite:///{file}", []):
            pass
        folder.chmod(0o777 if what == "file" else 0o555)
        file.chmod(0o444 if what == "file" else 0o666)

        with without_the_rights_of_root(), pytest.raises(StoreIsReadOnly, match="cannot be written by this process"):
            await opened(kind, f"sqlite:///{file}")
        folder.chmod(0o777)


async def test_a_client_refuses_a_store_that_does_not_exist_and_makes_none(stage: Stage) -> None:
    with pytest.raises(StoreNotFound, match="there is no store at .*store.db; start an Engine there, or run `perdure db migrate`"):
        await opened("client", stage.url)
    with pytest.raises(StoreNotFound, match="there is no folder .*nowhere; create it, or correct the address"):
        await opened("engine", f"sqlite:///{stage.folder}/nowhere/store.db")
    assert list(stage.folder.iterdir()) == []


async def test_a_client_refuses_an_empty_file(stage: Stage) -> None:
    Path(stage.path).touch()
    with pytest.raises(StoreNotFound, match="there is no store at"):
        await opened("client", stage.url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("orders.db", "is not the address of a store"),
        ("mysql://localhost/orders", "is not the address of a store"),
        ("postgresql://localhost/orders", "PostgreSQL is not in this release"),
        ("sqlite://orders.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///orders.db?mode=ro", "no options after a question mark"),
    ],
)
async def test_an_address_that_is_none_is_refused_with_the_forms_there_are(url: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        await opened("engine", url)


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────

DAMAGE = {
    "a flipped bit in a result": "update history set output = x'32' where run_id = 'damaged' and position = 2",
    "a truncated blob": "update history set output = x'' where run_id = 'damaged' and position = 2",
    "another name": "update history set name = 'kepT' where run_id = 'damaged' and position = 2",
    "another time": "update history set at = at + 1 where run_id = 'damaged' and position = 2",
    "an unknown kind": "update history set kind = 'stop' where run_id = 'damaged' and position = 2",
    "a missing record": "delete from history where run_id = 'damaged' and position = 2",
    "another input of the run": "update runs set input = x'7b7d20' where id = 'damaged'",
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_f37_a_damaged_row_quarantines_its_run_and_no_other(stage: Stage, damage: str) -> None:
    @workflow
    async def flow() -> int:
        await keep("a")
        await keep("b")
        return await receive("number", int)

    engine = await stage.engine(flow)
    for name in ("damaged", "healthy"):
        await stage.until_parked(engine, await engine.start(flow, id=name))
    await stage.stop(engine)
    stage.sql(DAMAGE[damage])
    before = stage.content()["history"]

    again = await stage.engine(flow)
    for name in ("damaged", "healthy"):
        await again.run(name).signal("number", 5)
    assert await again.run("healthy").result(10) == 5
    status = await stage.until_state(again.run("damaged"), "quarantined")

    assert "CorruptedHistory" in status.error["type"]
    assert "nothing was changed" in status.error["message"]
    assert [row for row in stage.content()["history"] if row[1] == "damaged"] == [row for row in before if row[1] == "damaged"]
    assert len((await again.runs()).runs) == 2  # lists still work


async def test_a_damaged_run_goes_on_after_the_damage_is_repaired(stage: Stage) -> None:
    @workflow
    async def flow() -> int:
        await keep("a")
        return await receive("number", int)

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    ((output,),) = stage.sql("select output from history where position = 2")
    stage.sql("update history set output = x'32' where position = 2")
    await run.signal("number", 5)
    await stage.until_state(run, "quarantined")
    stage.sql("update history set output = ? where position = 2", output)
    await run.resume()

    assert await run.result(10) == 5


async def test_a_file_that_is_damaged_itself_says_so(stage: Stage) -> None:
    engine = await stage.engine(hear)
    for _ in range(50):
        await engine.start(hear)
    await stage.stop(engine)
    with open(stage.path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 3)

    with pytest.raises((StoreError, apsw.Error)) as refused:
        await opened("client", stage.url)
    assert isinstance(refused.value, StoreError)
