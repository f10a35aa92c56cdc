"""Plans of the queries for PostgreSQL: they read what they must by index, among a million runs that have ended.

A plan is made once for all values and kept for a while. So it must be a good one where tables are empty, where they were filled and nobody
has looked at what is in them (the autovacuum had no chance yet), and where it has.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure.store.opening import open_store
from perdure.store.postgresql import queries
from perdure.store.postgresql.address import address_of
from perdure.store.postgresql.connections import Connection, connect
from perdure.store.postgresql.queries import named_queries
from tests.server import new_address

SUBJECTS = sorted(path.stem for path in Path(queries.__file__).parent.glob("*.sql"))
FINISHED = 1_000_000
WAITING = 10_000
OWNED = 1000
BLOCKS_MOST = 400  # of 8 KB; the table and its indexes have 100,000
NOW = 1_750_000_000_000_000

READ_ALL_ON_PURPOSE = {("runs", "counts"), ("runs", "groups"), ("runs", "inboxes"), ("runs", "unfinished_after")}
"""Asked for by people, or by a check that reads all page by page."""

INDEX_FOR = {"id": "runs_pkey", "owner": "runs_owned", "wake_at": "runs_due", "ended_at": "runs_ended", "created_at": "runs_"}
"""What rows of `runs` are looked for by, and the index made for that."""

KEYED_BY_RUN = {"history", "attempts", "inbox", "signal_keys", "generations"}

FILL = f"""
insert into runs (namespace, id, workflow, state, generation, input, input_hash, seed, checksum, python, only_python, created_at, ended_at,
    wake_at, owner, issued, reached, wishes, fencing)
select 'default', to_char(n, '0000000'), 'flow',
    case when n <= {FINISHED} then 'completed' when n <= {FINISHED + WAITING} then 'waiting' else 'running' end,
    0, '\\x7b7d', '\\x00', '\\x00', 0, '3.11', '', n, case when n <= {FINISHED} then n end,
    case when n between {FINISHED + 1} and {FINISHED + WAITING} then {NOW} + n - {FINISHED + WAITING // 2} end,
    case when n > {FINISHED + WAITING} then 'worker' end, 0, 0, 0, 0
from generate_series(1, {FINISHED + WAITING + OWNED}) as n
"""


class Filled:
    """A store with a million runs, its tables seen as a connection of the store sees them."""

    def __init__(self, schema: str, db: Connection) -> None:
        self.schema = schema
        self.db = db

    async def fill(self) -> None:
        """Without indexes, which are made afterwards in the order in which the migrations made them: it takes seconds."""
        found = "select indexname, indexdef from pg_indexes where schemaname = $1 and tablename = 'runs' and indexname <> 'runs_pkey'"
        others = await self.db.fetch(found, self.schema)
        await self.db.execute("alter table runs drop constraint runs_pkey")
        for name, _ in others:
            await self.db.execute(f"drop index {name}")
        await self.db.execute(FILL, timeout=100)
        for _, definition in others:
            await self.db.execute(definition, timeout=100)
        await self.db.execute("alter table runs add primary key (namespace, id)", timeout=100)

    async def plan(self, subject: str, name: str) -> dict[str, Any]:
        """The one that is made for all values."""
        statement = named_queries(subject, self.schema)[name]
        values = ["null"] * max((int(number) for number in re.findall(r"\$(\d+)", statement)), default=0)
        await self.db.execute(f"prepare asked as {statement}")
        try:
            given = f"({', '.join(values)})" if values else ""
            found = await self.db.fetchval(f"explain (format json) execute asked{given}")
        finally:
            await self.db.execute("deallocate asked")
        return dict(json.loads(found)[0]["Plan"])

    async def blocks(self, subject: str, name: str, *values: str) -> int:
        """How many it reads, with these values; what it writes is undone."""
        statement = named_queries(subject, self.schema)[name]
        await self.db.execute(f"prepare asked as {statement}")
        await self.db.execute("begin")
        try:
            found = await self.db.fetchval(f"explain (analyze, buffers, format json) execute asked({', '.join(values)})")
        finally:
            await self.db.execute("rollback")
            await self.db.execute("deallocate asked")
        plan = json.loads(found)[0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.fixture
async def filled() -> AsyncIterator[Filled]:
    address = new_address()
    store = open_store(address)
    await store.open(create=True, migrate=True)
    await store.close()
    schema = address.partition("?schema=")[2]
    db = await connect(address_of(address))
    await db.execute(f"set search_path to \"{schema}\"; set statement_timeout to 0; set maintenance_work_mem to '256MB'")
    for (table,) in await db.fetch("select tablename from pg_tables where schemaname = $1", schema):
        await db.execute(f"alter table {table} set (autovacuum_enabled = off)")
    yield Filled(schema, db)
    await db.execute(f'drop schema "{schema}" cascade')
    await db.close()


async def test_every_query_finds_its_rows_by_index_whatever_is_known_of_the_tables(filled: Filled) -> None:
    assert await broad_reads(filled) == [], "while they are empty"

    await filled.fill()
    assert await broad_reads(filled) == [], "before anybody has looked at what is in them"
    assert await too_many_blocks(filled) == {}

    await filled.db.execute("vacuum analyze", timeout=100)
    assert await broad_reads(filled) == []
    assert await too_many_blocks(filled) == {}


async def broad_reads(filled: Filled) -> list[str]:
    asked = [(subject, name) for subject in SUBJECTS for name in named_queries(subject)]
    return [
        f"{subject}.{name}: {broad}"
        for subject, name in asked
        if (subject, name) not in READ_ALL_ON_PURPOSE
        for broad in broad_nodes(await filled.plan(subject, name))
    ]


def broad_nodes(node: dict[str, Any], above: str = "") -> Iterator[str]:
    """Scans that read more than they must: without a key, or by an index that was made for something else."""
    table, by, condition = node.get("Relation Name"), node.get("Index Name", ""), str(node.get("Index Cond", ""))
    is_first_only = above == "Limit" and node["Node Type"].startswith("Index")  # the least, the greatest or the first in order
    is_read = table is not None and node["Node Type"] not in ("ModifyTable", "Tid Scan", "LockRows") and not is_first_only
    if is_read and table == "runs":
        wanted = {index for column, index in INDEX_FOR.items() if re.search(rf"\b{column}\b", condition)}
        if not any(by.startswith(index) for index in wanted):
            yield f"{node['Node Type']} of runs by {by or 'nothing'} {condition}"
    elif is_read and table in KEYED_BY_RUN and "run_id" not in condition:
        yield f"{node['Node Type']} of {table} by {by or 'nothing'} {condition}"
    for below in node.get("Plans", ()):
        yield from broad_nodes(below, node["Node Type"])


async def too_many_blocks(filled: Filled) -> dict[str, int]:
    """By query: how much those read that are asked all the time."""
    due, flow, pythons = str(NOW), "array['flow']", "array['', '3.11']"
    take = (
        "'default'",
        "'other'",
        "1",
        "1",
        "1",
        "10",
        "'3.11'",
        due,
        "array['flow', 'flow']",
        pythons,
        "1000000",
        "array[1, 1]",
        "0",
        "false",
    )
    due_values = ("'default'", "'flow'", "'other'", "'3.11'", due, "2", "10", due, "1000000", "true")
    ids = f"array[to_char({FINISHED + WAITING + 1}, '0000000'), to_char({FINISHED + WAITING + 2}, '0000000')]"
    read = {
        "claims.take": await filled.blocks("claims", "take", *take),
        "claims.due": await filled.blocks("claims", "due", *due_values),
        "claims.next_due": await filled.blocks("claims", "next_due", "'default'", flow, "'3.11'", due),
        "claims.has_claimable": await filled.blocks("claims", "has_claimable", "'default'", flow, "'3.11'", due),
        "surveys.survey": await filled.blocks("surveys", "survey", "'default'", flow, "'3.11'", due),
        "surveys.outlook": await filled.blocks("surveys", "outlook", "'default'", flow, "'3.11'", due, "'worker'", "100"),
        "signals.wake_missed": await filled.blocks("signals", "wake_missed", "'default'", due),
        "checkpoints.look": await filled.blocks("checkpoints", "look", "'default'", ids, "100", due, "true", "4194304"),
        "runs.run": await filled.blocks("runs", "run", "'default'", ids),
        "runs.listed_of_state": await filled.blocks(
            "runs", "listed_of_state", "'default'", "4611686018427387904", "''", "100", "'completed'"
        ),
        "removal.has_expired": await filled.blocks("removal", "has_expired", "'default'", "array['completed']", "array[1]", "0"),
    }
    return {name: count for name, count in read.items() if count > BLOCKS_MOST}
