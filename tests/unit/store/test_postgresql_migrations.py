"""Several processes that create or open one store on PostgreSQL at the same moment."""

import asyncio
import subprocess
import sys
from pathlib import Path

from perdure.clock import HostClock
from perdure.store.opening import open_inspection, open_store
from tests.contract.acting import new_run
from tests.server import ask, new_address

ROOT = Path(__file__).resolve().parents[3]


async def opened(address: str) -> int:
    store = open_store(address, clock=HostClock())
    await store.open(create=True, migrate=True)
    status = await store.schema()
    await store.close()
    return status.version


async def test_many_that_create_a_store_at_the_same_moment_do_not_clash() -> None:
    address = new_address()

    versions = await asyncio.gather(*(opened(address) for _ in range(8)))

    assert len(set(versions)) == 1
    assert len(ask(address, "select number from perdure_migrations")) == versions[0]


def test_f39_a_migration_that_is_killed_leaves_nothing_half_made_and_the_next_one_does_it_all() -> None:
    address = new_address()
    code = """
import asyncio, os, sys
from perdure.store.postgresql import schema
from perdure.store.opening import open_store

async def main(address, after):
    real, count = schema.in_schema, [0]
    def dies(statement, name):
        count[0] += 1
        if count[0] > int(after):
            os._exit(9)
        return real(statement, name)
    schema.in_schema = dies
    store = open_store(address)
    await store.open(create=True, migrate=True)
    os._exit(0)

asyncio.run(main(*sys.argv[1:]))
"""
    statuses = []
    for after in range(20):
        statuses.append(subprocess.run([sys.executable, "-c", code, address, str(after)], cwd=ROOT, check=False).returncode)
        tables = ask(address, "select 1 from pg_tables where schemaname = current_schema() and tablename = 'runs'")
        assert bool(tables) == (statuses[-1] == 0), "half of it is there"
        if statuses[-1] == 0:
            break

    assert statuses == [9] * (len(statuses) - 1) + [0]
    assert len(statuses) > 5


async def test_who_only_looks_reads_what_is_there_and_needs_no_more_than_the_right_to_read() -> None:
    address = new_address()
    store = open_store(address)
    await store.open(create=True, migrate=True)
    await store.start(new_run("order-1", input=b"1"))
    await store.close()
    schema = address.partition("?schema=")[2]
    ask(address, f"grant usage on schema {schema} to stranger")
    ask(address, f"grant select on all tables in schema {schema} to stranger")

    inspection = open_inspection(address.replace("perdure@", "stranger@"))

    inspection.check_schema()
    assert inspection.unfinished() == [("order-1", "flow")]
    assert inspection.load(["order-1", "none"])["order-1"].row.input == b"1"
    assert inspection.inboxes(1) == {}
