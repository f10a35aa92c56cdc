"""What endangers a store on this server: settings that lose what was acknowledged, rights that are missing, clocks that differ."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import asyncpg

from perdure.clock import SECOND, Clock, HostClock, Microseconds
from perdure.model.findings import Finding, Level
from perdure.store.astray import NAMED_MOST, astray
from perdure.store.postgresql.connections import Connection
from perdure.store.postgresql.scope import Scope

DURABLE = {"fsync": ("on",), "full_page_writes": ("on",), "synchronous_commit": ("on", "local", "remote_write", "remote_apply")}
CLOCKS_APART_MOST: Microseconds = 2 * SECOND
RIGHTS = ("select", "insert", "update", "delete")

PRIVILEGES = """
    select pg_class.relname, privilege from pg_class join pg_namespace on pg_namespace.oid = relnamespace, unnest($2::text[]) as privilege
    where nspname = $1 and relkind in ('r', 'p') and not has_table_privilege(pg_class.oid, privilege)
    order by relname, privilege
"""
STATE = """
    select current_setting('server_version') as version, current_user::text as role, pg_is_in_recovery() as is_standby,
        current_setting('default_transaction_read_only') = 'on' as is_read_only,
        (extract(epoch from clock_timestamp()) * 1000000)::bigint as now
"""

REPLICATION = "select (select count(*) from pg_stat_replication) as followers, current_setting('synchronous_standby_names') as synchronous"


async def examine(db: Connection, scope: Scope, host: Clock | None = None) -> Sequence[Finding]:
    """`host`: the clock of this machine; a test brings another."""
    clock = host or HostClock()
    asked_at = clock.now()
    (state,) = await db.fetch(STATE)
    answered_at = clock.now()
    if scope.authority is not None:
        scope.authority.read(state["now"])
    settings = await db.fetch("select name, setting from pg_settings where name = any($1::text[]) order by name", list(DURABLE))
    missing = await db.fetch(PRIVILEGES, scope.schema, list(RIGHTS))
    return [
        _durability(state["version"], settings),
        *_replication(await db.fetchrow(REPLICATION)),
        _privileges(state, missing, scope.schema),
        *_clocks(state["now"], asked_at, answered_at),
        astray([row[0] for row in await db.fetch(scope.sql("signals", "astray"), scope.namespace, NAMED_MOST + 1)]),
    ]


def _durability(version: str, settings: Sequence[asyncpg.Record]) -> Finding:
    wrong = [f"{name}={value}" for name, value in settings if value not in DURABLE[name]]
    what = f"PostgreSQL {version}"
    if wrong:
        remedy = f"set {', '.join(DURABLE)} to on: what was acknowledged must outlive a crash"
        return Finding("durability", Level.WRONG, f"{what}, {', '.join(wrong)}: what was acknowledged may be lost in a power cut", remedy)
    return Finding("durability", Level.OK, f"{what}, {', '.join(f'{name}=on' for name in DURABLE)}")


def _replication(state: asyncpg.Record | None) -> Iterator[Finding]:
    if state is not None and state["followers"]:
        names = state["synchronous"]
        what = f"followed by {state['followers']}, " + (f"synchronous_standby_names={names}" if names else "none of them synchronous")
        remedy = "a fail-over may lose the last commits, and perdure then says which: or set synchronous_standby_names" if not names else ""
        yield Finding("replication", Level.NOTE if remedy else Level.OK, what, remedy)


def _privileges(state: asyncpg.Record, missing: Sequence[asyncpg.Record], schema: str) -> Finding:
    role = state["role"]
    if state["is_standby"]:
        return Finding("privileges", Level.WRONG, "this server is a standby: nothing can be written", "name the primary in the address")
    if missing:
        what = ", ".join(f"{privilege} on {table}" for table, privilege in missing[: len(RIGHTS)])
        more = f" and {len(missing) - len(RIGHTS)} more" if len(missing) > len(RIGHTS) else ""
        remedy = f"as the owner: grant {', '.join(RIGHTS)} on all tables in schema {schema} to {role}"
        return Finding("privileges", Level.WRONG, f"role {role} lacks {what}{more}", remedy)
    if state["is_read_only"]:
        remedy = f"alter role {role} reset default_transaction_read_only, and look whether the database or the address sets it"
        return Finding("privileges", Level.WRONG, f"transactions of role {role} are read-only by default", remedy)
    return Finding("privileges", Level.OK, f"role {role} may read and write every table")


def _clocks(server: int, asked_at: int, answered_at: int) -> Iterator[Finding]:
    """The server looked at its clock somewhere between question and answer."""
    apart = server - answered_at if server > answered_at else min(server - asked_at, 0)
    if abs(apart) > CLOCKS_APART_MOST:
        ahead = "behind" if apart > 0 else "ahead of"
        what = f"this machine is {timedelta(microseconds=abs(apart))} {ahead} the server, by whose clock timers and leases go"
        yield Finding("clock", Level.NOTE, what, "let NTP set both: steps that look at the clock see that of this machine")
    else:
        yield Finding("clock", Level.OK, "that of the server agrees with this machine's")
