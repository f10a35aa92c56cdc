"""What a checkpoint on PostgreSQL reads of inboxes stays within a number of bytes on its way, too."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from perdure.settings import DEFAULTS
from perdure.store.pages import pages_of
from perdure.store.postgresql.looking import Seen, look
from perdure.store.postgresql.store import PostgresqlStore
from tests.contract.acting import LIMIT, ManualClock, Worker, signal
from tests.contract.places import PostgresqlPlace
from tests.server import new_address

BIG = 100_000


@pytest.fixture
async def store() -> AsyncIterator[PostgresqlStore]:
    place = PostgresqlPlace(new_address(), ManualClock())
    store = await place.open()
    assert isinstance(store, PostgresqlStore)
    yield store
    await place.close()


async def test_payloads_that_a_checkpoint_has_no_place_for_stay_where_they_are(store: PostgresqlStore) -> None:
    worker = await Worker(store, "worker-1").register()
    runs = [await worker.run(f"order-{number}") for number in range(3)]
    for run in runs:
        for number in range(6):
            await store.send(signal(run.id, f"s{number}", payload=b"%d" % number * BIG), LIMIT)
    pages = pages_of(replace(DEFAULTS, inbox_page_bytes=3 * BIG))
    changes = [run.change(reads_inbox=True) for run in reversed(runs)]

    seen: Seen = await store.connections.read(lambda db: look(db, store._scope, changes, pages, claims=False))

    read = {run_id: [len(row["payload"] or b"") for row in rows] for run_id, rows in seen._signals.items()}
    assert read == {"order-2": [BIG] * 3 + [0] * 3, "order-1": [0] * 6, "order-0": [0] * 6}


async def test_one_is_read_however_large_it_is(store: PostgresqlStore) -> None:
    run = await (await Worker(store, "worker-1").register()).run("order-1")
    for number in range(3):
        await store.send(signal(run.id, f"s{number}", payload=b"x" * BIG), LIMIT)
    pages = pages_of(replace(DEFAULTS, inbox_page_bytes=1))

    seen: Seen = await store.connections.read(lambda db: look(db, store._scope, [run.change(reads_inbox=True)], pages, claims=False))
    page, has_more = seen.begin(pages).page(run.id)

    assert [len(row[4]) for row in page] == [BIG]
    assert has_more
