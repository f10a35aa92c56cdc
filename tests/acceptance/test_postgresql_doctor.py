"""`perdure doctor` on PostgreSQL: settings, rights, clocks, workers and runs, each with a sentence and a remedy."""

import asyncio
import json
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from perdure import Client, Engine, receive, workflow
from perdure.cli.main import perform
from perdure.clock import SECOND, HostClock, Instant
from perdure.store.postgresql import vitals
from perdure.store.postgresql.address import address_of
from perdure.store.postgresql.store import PostgresqlStore
from tests.server import ask, new_address, who_only_looks

HOUR = 3600 * SECOND


@workflow
async def hear() -> str:
    return await receive("word", str)


class FarAhead(HostClock):
    """That of a machine an hour ahead of the server."""

    def now(self) -> Instant:
        return super().now() + HOUR


def doctor(address: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """The last finding of each subject."""
    perform(["doctor", "--store", address, "-o", "json"])
    return {one["subject"]: one for one in json.loads(capsys.readouterr().out)["findings"]}


async def test_a_store_with_a_worker_is_examined_whole(capsys: pytest.CaptureFixture[str]) -> None:
    address = new_address()
    async with Engine(address, [hear]) as engine:
        await engine.start(hear)
        found = await asyncio.to_thread(doctor, address, capsys)

    assert {"versions", "clock", "schema", "durability", "privileges", "runs", "workers"} <= found.keys()
    assert [found[subject]["level"] for subject in ("clock", "privileges", "runs", "workers")] == ["ok"] * 4
    assert "agrees" in found["clock"]["what"]


async def test_a_role_that_may_only_look_is_wrong_and_the_missing_rights_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    address = new_address()
    async with Engine(address, [hear]):
        pass

    found = await asyncio.to_thread(doctor, who_only_looks(address), capsys)

    assert (found["privileges"]["level"], "lacks delete on attempts, insert on attempts" in found["privileges"]["what"]) == ("wrong", True)
    assert "grant select, insert, update, delete on all tables in schema" in found["privileges"]["remedy"]


async def test_a_role_whose_transactions_are_read_only_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    address = new_address()
    async with Engine(address, [hear]):
        pass
    of_role = who_only_looks(address, default_transaction_read_only="on")
    ask(address, f"grant insert, update, delete on all tables in schema {parse_qs(urlsplit(address).query)['schema'][0]} to "
                 f"{urlsplit(of_role).username}")  # fmt: skip

    found = await asyncio.to_thread(doctor, of_role, capsys)

    assert (found["privileges"]["level"], "read-only by default" in found["privileges"]["what"]) == ("wrong", True)


async def test_a_machine_whose_clock_differs_from_the_servers_is_noted() -> None:
    store = PostgresqlStore(address_of(new_address()), namespace="default", clock=None)
    await store.open(create=True, migrate=True)
    try:
        examine = partial(vitals.examine, scope=store._scope, host=FarAhead())
        (found,) = [one for one in await store.connections.read(examine) if one.subject == "clock"]
    finally:
        await store.close()

    assert (found.level, "ahead of the server" in found.what) == ("note", True)
    assert found.remedy


async def test_a_run_from_the_future_is_judged_by_the_servers_clock(capsys: pytest.CaptureFixture[str]) -> None:
    address = new_address()
    async with Engine(address, []), Client(address) as client:
        await client.start("later", id="r")
    schema = parse_qs(urlsplit(address).query)["schema"][0]
    ask(address, f"update {schema}.runs set created_at = created_at + {HOUR}")

    found = await asyncio.to_thread(doctor, address, capsys)

    assert (found["clock"]["level"], "the clock was set back" in found["clock"]["what"]) == ("wrong", True)
