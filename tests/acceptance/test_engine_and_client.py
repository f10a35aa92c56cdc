"""Engine and Client: several of them on one file, in several processes, with and without await."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent

import pytest

from perdure import Client, Engine, receive, step, workflow
from perdure.errors import NameTaken, RunConflict, SchemaTooOld, StoreNotFound, UnknownWorkflow
from perdure.run import Run
from perdure.store.migrations import Migration
from perdure.store.sqlite import schema
from tests.acceptance.harness import CALM, Stage

SECONDS_MOST = 30


@step
async def double(number: int) -> int:
    return 2 * number


@workflow
async def twice(number: int) -> int:
    return await double(await double(number))


@workflow
async def hear() -> str:
    return await receive("word", str)


def in_another_process(folder: Path, program: str, *arguments: str) -> str:
    """What a program says that knows nothing but the address of the store."""
    file = folder / "program.py"
    file.write_text(dedent(program))
    environment = dict(os.environ, PYTHONWARNINGS="error")
    ended = subprocess.run(
        [sys.executable, file, *arguments], capture_output=True, text=True, timeout=SECONDS_MOST, check=False, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def elsewhere(stage: Stage, program: str, *arguments: str) -> str:
    return await asyncio.to_thread(in_another_process, stage.folder, program, stage.url, *arguments)


# ── several processes ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_client_in_another_process_starts_signals_and_gets_the_result(stage: Stage) -> None:
    await stage.engine(hear)

    said = await elsewhere(
        stage,
        """
        import asyncio, sys
        from perdure import Client

        async def main():
            async with Client(sys.argv[1]) as client:
                run = await client.start("hear", id="order-1")
                await run.signal("word", "hello", key="a")
                print(await run.result(30), (await run.status()).state, len((await client.runs()).runs))

        asyncio.run(main())
        """,
    )

    assert said.split() == ["hello", "completed", "1"]


async def test_a_blocking_client_in_another_process_does_the_same_without_await(stage: Stage) -> None:
    await stage.engine(hear)

    said = await elsewhere(
        stage,
        """
        import sys
        from perdure import Client

        with Client.blocking(sys.argv[1]) as client:
            run = client.start("hear", id="order-1")
            run.signal("word", "hello")
            print(run.result(30), run.status().state, [record.kind for record in run.history()], client.runs().runs[0].id)
        """,
    )

    assert said.strip() == "hello completed ['started', 'signal', 'completed'] order-1"


async def test_a_signal_from_another_process_wakes_a_parked_run_without_waiting_for_a_sweep(stage: Stage) -> None:
    engine = await stage.engine(hear, settings=replace(CALM, sweep_seconds=1e6))
    run = await engine.start(hear, id="order-1")
    await stage.until_parked(engine, run)

    await elsewhere(
        stage,
        """
        import sys
        from perdure import Client

        with Client.blocking(sys.argv[1]) as client:
            client.run("order-1").signal("word", "hello")
        """,
    )

    assert await run.result(30) == "hello"


async def test_a_worker_in_another_process_that_is_killed_leaves_its_runs_to_this_one(stage: Stage) -> None:
    program = stage.folder / "worker.py"
    program.write_text(
        dedent(
            """
            import asyncio, sys
            from perdure import Engine, step, workflow

            @step
            async def double(number: int) -> int:
                print("began", flush=True)
                await asyncio.Event().wait()

            @workflow
            async def twice(number: int) -> int:
                return await double(await double(number))

            async def main():
                async with Engine(sys.argv[1], [twice]):
                    await asyncio.Event().wait()

            asyncio.run(main())
            """
        )
    )
    await stage.stop(await stage.engine())
    run = await (await stage.client()).start("twice", 5)
    process = await asyncio.create_subprocess_exec(sys.executable, str(program), stage.url, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"began\n"
    process.kill()
    await process.wait()

    await stage.engine(twice)
    assert await run.result(30) == 20


async def test_engines_with_different_workflows_share_a_store_and_each_runs_its_own(stage: Stage) -> None:
    first = await stage.engine(twice)
    second = await stage.engine(hear)

    hearing, doubling = await first.start("hear"), await second.start("twice", 3)
    await hearing.signal("word", "hello")

    assert await hearing.result(30) == "hello"
    assert await doubling.result(30) == 12


async def test_namespaces_of_one_store_do_not_see_each_other(stage: Stage) -> None:
    north, south = await stage.engine(twice, namespace="north"), await stage.engine(twice, namespace="south")
    await (await north.start(twice, 1, id="order-1")).result(30)

    assert (await south.runs()).runs == []
    assert await (await south.start(twice, 2, id="order-1")).result(30) == 8


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_engine_creates_and_migrates_its_store(stage: Stage) -> None:
    assert not Path(stage.path).exists()
    await stage.engine(twice)
    assert Path(stage.path).exists()


async def test_an_engine_told_not_to_migrate_creates_nothing(stage: Stage) -> None:
    with pytest.raises(StoreNotFound, match="there is no store at .*store.db; start an Engine there, or run `perdure db migrate`"):
        await stage.engine(twice, migrate=False)
    assert list(stage.folder.glob("store.db*")) == []


async def test_an_engine_told_not_to_migrate_works_on_a_store_that_is_up_to_date(stage: Stage) -> None:
    await stage.stop(await stage.engine(twice))
    engine = await stage.engine(twice, migrate=False)
    assert await (await engine.start(twice, 1)).result(30) == 4


async def test_an_engine_told_not_to_migrate_and_a_client_refuse_a_store_that_lacks_migrations(stage: Stage, monkeypatch) -> None:
    await stage.stop(await stage.engine(twice))
    known = schema.known_migrations(schema.PACKAGE)
    next_one = Migration(len(known) + 1, "9999_more", "create table more (id integer) strict")
    monkeypatch.setattr(schema, "known_migrations", lambda package: (*known, next_one))

    for opening in (stage.engine(twice, migrate=False), stage.client()):
        with pytest.raises(SchemaTooOld, match="lacks 9999_more; run `perdure db migrate`"):
            await opening

    await stage.engine(twice)
    await stage.client()
    assert stage.sql("select * from more") == []


async def test_an_engine_and_a_client_can_be_opened_again_on_the_same_store(stage: Stage) -> None:
    for number in range(3):
        async with Engine(stage.url, [twice]) as engine:
            assert await (await engine.start(twice, number)).result(30) == 4 * number
        async with Client(stage.url) as client:
            assert len((await client.runs()).runs) == number + 1


async def test_a_store_in_memory_runs_workflows_and_is_gone_afterwards() -> None:
    for _ in range(2):
        async with Engine("sqlite:///:memory:", [twice]) as engine:
            assert (await engine.runs()).runs == []
            assert await (await engine.start(twice, 1)).result(30) == 4


async def test_an_engine_that_is_not_open_says_how_to_open_it(stage: Stage) -> None:
    engine = Engine(stage.url, [twice])
    with pytest.raises(RuntimeError, match=r"this Engine is not open: use `async with Engine"):
        await engine.start(twice, 1)


async def test_two_workflows_of_one_name_are_refused() -> None:
    @workflow(name="twice")
    async def other() -> None:
        return None

    with pytest.raises(NameTaken, match="two workflows are named 'twice'; give one of them a name"):
        Engine("sqlite:///unused.db", [twice, other])


async def test_two_steps_of_one_name_are_refused_where_the_second_is_called(stage: Stage) -> None:
    @step(name="double")
    async def other(number: int) -> int:
        return number

    @workflow
    async def flow() -> str:
        await double(1)
        try:
            await other(1)
        except NameTaken as error:
            return str(error)
        return "never"

    engine = await stage.engine(flow)
    assert "two steps are named 'double'" in await (await engine.start(flow)).result(30)


async def test_what_is_no_workflow_is_refused(stage: Stage) -> None:
    async def plain() -> None:
        return None

    with pytest.raises(UnknownWorkflow, match="is not a workflow: decorate it with @workflow"):
        Engine(stage.url, [plain])
    engine = await stage.engine(twice)
    with pytest.raises(UnknownWorkflow, match="decorate it with @workflow, or give its name"):
        await engine.start(plain)
    assert stage.content()["runs"] == []


# ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_start_by_name_and_by_function_with_the_same_arguments_by_name_are_the_same_start(stage: Stage) -> None:
    engine = await stage.engine(twice)
    run = await engine.start(twice, number=5, id="order-1")
    client = await stage.client()

    assert (await client.start("twice", number=5, id="order-1")).id == run.id
    assert isinstance(run, Run)
    with pytest.raises(RunConflict):
        await client.start("twice", number=6, id="order-1")


async def test_a_start_by_name_with_positional_arguments_reaches_the_workflow(stage: Stage) -> None:
    await stage.engine(twice)
    assert await (await (await stage.client()).start("twice", 5)).result(30) == 20


async def test_outside_a_run_a_workflow_is_the_plain_function() -> None:
    assert await twice(5) == 20


@dataclass
class Receipt:
    total: int


@workflow
async def buy(amount: int) -> Receipt:
    return Receipt(amount)


async def test_a_client_decodes_the_result_of_what_it_started_by_function_and_gives_plain_data_else(stage: Stage) -> None:
    await stage.engine(buy)
    client = await stage.client()
    by_function, by_name = await client.start(buy, 5), await client.start("buy", 6)
    assert await by_function.result(30) == Receipt(5)
    assert [await by_name.result(30), await client.run(by_function.id).result()] == [{"total": 6}, {"total": 5}]

    def without_await() -> list[object]:
        with Client.blocking(stage.url) as blocking:
            return [blocking.start(buy, 7).result(30), blocking.start("buy", 8).result(30)]

    assert await asyncio.to_thread(without_await) == [Receipt(7), {"total": 8}]


# ── without await ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_blocking_client_works_from_many_threads(stage: Stage) -> None:
    await stage.engine(twice)

    def work() -> list[int]:
        with Client.blocking(stage.url) as client, ThreadPoolExecutor(8) as threads:
            return list(threads.map(lambda number: client.start("twice", number).result(30), range(40)))

    assert await asyncio.to_thread(work) == [4 * number for number in range(40)]


def test_a_blocking_client_refuses_a_store_that_does_not_exist_and_leaves_no_thread(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound), Client.blocking(f"sqlite:///{tmp_path}/store.db"):
        pass
    assert "perdure-blocking" not in {thread.name for thread in threading.enumerate()}
