"""Several hosts in one address: who is asked, in which order, and what is said when none takes writes."""

import asyncio

import pytest

from perdure.errors import StoreError, StoreUnavailable
from perdure.settings import DEFAULTS
from perdure.store.postgresql.address import address_of
from perdure.store.postgresql.connections import connect
from perdure.store.postgresql.hosts import first_to_accept
from tests.proxy import Proxy
from tests.server import ask, database


def test_each_host_of_an_address_is_asked_for_one_that_takes_writes() -> None:
    address = address_of("postgresql://ann:secret@a:5433,b,[::1]:5434/orders?sslmode=require&schema=shop")

    assert address.dsns == (
        "postgresql://ann:secret@a:5433/orders?sslmode=require&target_session_attrs=read-write",
        "postgresql://ann:secret@b/orders?sslmode=require&target_session_attrs=read-write",
        "postgresql://ann:secret@[::1]:5434/orders?sslmode=require&target_session_attrs=read-write",
    )
    assert address.shown == "postgresql://ann@a:5433,b,::1:5434/orders?schema=shop"


def test_one_host_is_taken_as_it_is_and_what_was_asked_for_stays() -> None:
    assert address_of("postgresql://a/orders").dsns == ("postgresql://a/orders",)
    assert address_of("postgresql://a,b/orders?target_session_attrs=any").dsns[1] == "postgresql://b/orders?target_session_attrs=any"


@pytest.mark.parametrize("hosts", ["a:port,b", "a,b:99999999", "a,[b"])
def test_a_host_that_cannot_be_read_is_refused_with_the_form_of_an_address(hosts: str) -> None:
    with pytest.raises(StoreError, match="postgresql://user:password@host:5432/database"):
        address_of(f"postgresql://{hosts}/orders")


async def test_a_host_that_says_nothing_keeps_nobody_from_the_next() -> None:
    server = database()
    async with Proxy(server.host, server.port) as dead:
        dead.vanish()
        db = await connect(address_of(f"postgresql://perdure@127.0.0.1:{dead.port},127.0.0.1:{server.port}/postgres"))
        assert await db.fetchval("select 1") == 1
        db.terminate()


async def test_where_no_host_takes_writes_it_is_said_to_try_again() -> None:
    ask(database().url("postgres"), "drop database if exists sleeping")
    ask(database().url("postgres"), "create database sleeping")
    ask(database().url("postgres"), "alter database sleeping set default_transaction_read_only = on")
    place = f"127.0.0.1:{database().port}"

    with pytest.raises(StoreUnavailable, match="takes no writes now"):
        await connect(address_of(f"postgresql://perdure@{place},{place}/sleeping"))


async def test_the_first_that_accepts_is_taken_and_a_late_one_is_discarded() -> None:
    discarded, late = [], asyncio.Event()

    async def refuses() -> str:
        raise StoreUnavailable("no")

    async def accepts_late() -> str:
        await late.wait()
        return "late"

    async def accepts() -> str:
        return "taken"

    assert await first_to_accept([refuses, accepts_late, accepts], discarded.append) == "taken"
    late.set()
    with pytest.raises(StoreUnavailable, match="no"):
        await first_to_accept([refuses, refuses], discarded.append)
    assert discarded == []


async def test_f41_a_session_whose_client_is_silent_is_let_go_of_by_the_server_within_a_lease() -> None:
    """One that was cut off between a statement and its end holds its locks, and no time limit for statements or transactions counts."""
    db = await connect(address_of(database().url("postgres")))
    idle, interval, count, unacknowledged = [
        int(await db.fetchval("select setting from pg_settings where name = $1", f"tcp_{name}"))
        for name in ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
    ]
    db.terminate()

    assert 0 < idle + interval * count < DEFAULTS.lease_seconds
    assert 0 < unacknowledged < DEFAULTS.lease_seconds * 1000
