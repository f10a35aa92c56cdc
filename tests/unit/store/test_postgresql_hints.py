"""Hints of PostgreSQL: whatever happens to the connection that listens, another one does soon."""

import asyncio
import gc

import pytest

from perdure.store.postgresql import hints
from perdure.store.postgresql.address import address_of
from perdure.store.postgresql.store import PostgresqlStore
from tests.contract.acting import new_run
from tests.proxy import Proxy
from tests.server import database, new_address


async def test_a_connection_that_is_lost_while_it_begins_to_listen_is_replaced_and_leaves_no_error_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hints, "AGAIN_SECONDS", 0.01)
    loose: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: loose.append(context))
    address = new_address()
    changed = asyncio.Event()

    async with Proxy("127.0.0.1", database().port) as proxy:
        watching = PostgresqlStore(address_of(address.replace(f":{database().port}/", f":{proxy.port}/")), namespace="default")
        writing = PostgresqlStore(address_of(address), namespace="default")
        await writing.open(create=True, migrate=True)
        await watching.open(create=False, migrate=False)
        proxy.swallow(b"LISTEN", times=2)
        watching.on_change(changed.set)
        async with asyncio.timeout(60):
            await changed.wait()  # it listens: something may have been written before
            changed.clear()
            await writing.start(new_run("order-1"))
            await changed.wait()
        assert proxy.swallowed == 2
        await watching.close()
        await writing.close()

    gc.collect()
    assert loose == []
