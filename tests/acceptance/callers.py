"""A process of its own that starts and signals runs in transactions of its own: `python -m tests.acceptance.callers DRIVER STORE`.

One transaction is rolled back, one committed. Nothing else of perdure is open here.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from perdure import Client

LEAVE, KEEP = 1, 2


def rows(number: int) -> str:
    return f"insert into orders values ({number})"


@contextmanager
def of_sqlite3(url: str) -> Iterator[Callable[[int], Any]]:
    import sqlite3

    db = sqlite3.connect(path_of(url))

    @contextmanager
    def transaction(number: int) -> Iterator[Any]:
        db.execute(rows(number))  # begins one
        yield db
        db.commit() if number == KEEP else db.rollback()

    yield transaction
    db.close()


@contextmanager
def of_sqlalchemy(url: str) -> Iterator[Callable[[int], Any]]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)

    @contextmanager
    def transaction(number: int) -> Iterator[Any]:
        with engine.connect() as db:
            yield db
            db.exec_driver_sql(rows(number))
            db.commit() if number == KEEP else db.rollback()

    yield transaction
    engine.dispose()


@contextmanager
def of_session(url: str) -> Iterator[Callable[[int], Any]]:
    import sqlalchemy
    from sqlalchemy.orm import scoped_session, sessionmaker

    engine = sqlalchemy.create_engine(url)
    sessions = scoped_session(sessionmaker(engine))

    @contextmanager
    def transaction(number: int) -> Iterator[Any]:
        yield sessions
        sessions.execute(sqlalchemy.text(rows(number)))
        sessions.commit() if number == KEEP else sessions.rollback()
        sessions.remove()

    yield transaction
    engine.dispose()


@contextmanager
def of_django(url: str) -> Iterator[Callable[[int], Any]]:
    import django
    from django.conf import settings

    settings.configure(DATABASES={"default": django_settings(url)})
    django.setup()
    from django.db import connection, transaction

    @contextmanager
    def atomic(number: int) -> Iterator[Any]:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(rows(number))
            yield connection
            transaction.set_rollback(number == LEAVE)

    yield atomic
    connection.close()


def path_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


def django_settings(url: str) -> dict[str, object]:
    if url.startswith("sqlite"):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": path_of(url)}
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    place = {"NAME": parts.path[1:], "USER": parts.username, "HOST": parts.hostname, "PORT": parts.port}
    schema = parts.query.removeprefix("schema=")
    return {"ENGINE": "django.db.backends.postgresql", **place, "OPTIONS": {"options": f"-c search_path={schema}"}}


def blocking(url: str, transaction: Callable[[int], Any]) -> None:
    client = Client.blocking(url)
    for number in (LEAVE, KEEP):
        with transaction(number) as db:
            client.start("note", number, id=f"run-{number}", transaction=db)
            client.run("listener").signal("number", number, transaction=db)
    if url.startswith("postgresql"):
        client.close()


async def of_aiosqlite(url: str) -> None:
    """SQLAlchemy's way to SQLite from async code. The client is not opened."""
    import sqlalchemy
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
    client = Client(url)
    for number in (LEAVE, KEEP):
        async with AsyncSession(engine) as session:
            await session.execute(sqlalchemy.text(rows(number)))
            await client.start("note", number, id=f"run-{number}", transaction=session)
            await client.run("listener").signal("number", number, transaction=await session.connection())
            await (session.commit() if number == KEEP else session.rollback())
    await engine.dispose()


BLOCKING = {"sqlite3": of_sqlite3, "sqlalchemy": of_sqlalchemy, "session": of_session, "django": of_django}


def main(driver: str, url: str) -> None:
    if driver == "aiosqlite":
        asyncio.run(of_aiosqlite(url))
        return
    with BLOCKING[driver](url) as transaction:
        blocking(url, transaction)


if __name__ == "__main__":
    main(*sys.argv[1:])
