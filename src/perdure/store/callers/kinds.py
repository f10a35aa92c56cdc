"""What is asked of a connection that a caller brings. It is his: nothing here commits, rolls back or closes."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from perdure.errors import BadInput

T = TypeVar("T")
Row = tuple[Any, ...]


class Cursor(Protocol):
    def fetchall(self) -> Any: ...


class SqliteStatements(Protocol):
    """What the statements of a start and of a signal need of an SQLite connection: apsw has it, others are given it."""

    def execute(self, statements: str, bindings: Any = ..., /) -> Cursor: ...
    def total_changes(self) -> int: ...


class Caller(Protocol):
    """`is_async`: its statements wait on an event loop. The others are made in the thread that asks."""

    is_async: bool
    named: str
    """What it is, for people."""


class PostgresqlCaller(Caller, Protocol):
    async def fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Row]:
        """Parameters are $1, $2, … Raises what the driver raises: the transaction is the caller's, and so is its failure."""


class SqliteCaller(Caller, Protocol):
    is_pythons: bool
    """Whether it is a connection of another SQLite than the store's own: that of Python."""

    async def run(self, work: Callable[[SqliteStatements], T]) -> T: ...


def not_in_a_transaction(named: str, what_to_do: str) -> BadInput:
    return BadInput(
        f"transaction= was given {named} that has no transaction open and commits every statement; nothing was written: {what_to_do}"
    )


def has_failed(named: str) -> BadInput:
    return BadInput(f"transaction= was given {named} whose transaction has failed already; nothing was written: roll it back first")


def is_closed(named: str) -> BadInput:
    return BadInput(f"transaction= was given {named} that is closed; nothing was written")
