"""Transactional steps for tests that run on both stores: the body is written once, over what all connections can do."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

from perdure import step
from perdure.authoring.step import Step
from tests.acceptance.harness import Stage
from tests.server import in_postgresql

T = TypeVar("T")


class Given:
    """The connection that a step was given. Statements are written for SQLite."""

    def __init__(self, db: Any, *, is_sqlite: bool) -> None:
        self.db = db
        self.is_sqlite = is_sqlite

    async def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        if self.is_sqlite:
            return list(self.db.execute(statement, values))
        if values or statement.lstrip().startswith("select"):
            return [tuple(row) for row in await self.db.fetch(in_postgresql(statement), *values)]
        await self.db.execute(statement)
        return []


def transactional(stage: Stage, **options: Any) -> Callable[[Callable[..., Any]], Step[..., Any]]:
    """A plain `def` on SQLite, an `async def` on PostgreSQL. The body's first parameter has no type: a hint chooses a driver."""

    def decorate(body: Callable[..., Any]) -> Step[..., Any]:
        @wraps(body)
        def on_sqlite(db: Any, *args: Any, **kwargs: Any) -> Any:
            return at_once(body(Given(db, is_sqlite=True), *args, **kwargs))

        @wraps(body)
        async def on_postgresql(db: Any, *args: Any, **kwargs: Any) -> Any:
            return await body(Given(db, is_sqlite=False), *args, **kwargs)

        return step(transaction=True, **options)(on_sqlite if stage.is_sqlite else on_postgresql)

    return decorate


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")
