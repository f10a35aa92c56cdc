"""The named queries for PostgreSQL: the server knows every table, column and type in them, and they need no state of a session."""

import re
from pathlib import Path

import asyncpg

from perdure.store.opening import open_store
from perdure.store.postgresql import queries
from perdure.store.postgresql.queries import named_queries
from perdure.store.sqlite.queries import FOLDER as OF_SQLITE
from tests.server import new_address

FOLDER = Path(queries.__file__).parent
SUBJECTS = sorted(path.stem for path in FOLDER.glob("*.sql"))
OF_A_SESSION = re.compile(r"\b(advisory|savepoint|temp|temporary|truncate|listen|set local|set session|search_path)\b", re.IGNORECASE)


async def test_the_server_takes_every_query() -> None:
    address = new_address()
    store = open_store(address)
    await store.open(create=True, migrate=True)
    await store.close()
    url, _, schema = address.partition("?schema=")
    db = await asyncpg.connect(url)

    refused: dict[str, str] = {}
    for subject in SUBJECTS:
        for name, statement in named_queries(subject, schema).items():
            try:
                await db.prepare(statement)
            except asyncpg.PostgresError as error:
                refused[f"{subject}.{name}"] = str(error)
    await db.close()

    assert refused == {}


def test_no_query_needs_what_a_pooler_or_a_database_of_the_same_protocol_lacks() -> None:
    for subject in SUBJECTS:
        for name, statement in named_queries(subject).items():
            plain = re.sub(r"--.*", "", statement)
            assert not OF_A_SESSION.search(plain), f"{subject}.{name}"


def test_the_subjects_are_those_of_sqlite_and_what_is_asked_again_and_again() -> None:
    assert set(SUBJECTS) - {"surveys"} == {path.stem for path in Path(OF_SQLITE).glob("*.sql")}
