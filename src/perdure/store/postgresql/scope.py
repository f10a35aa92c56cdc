"""What the statements of a store have in common: its namespace, where its tables are, and whose clock counts."""

from dataclasses import dataclass

from perdure.clock import Clock, Instant, Microseconds
from perdure.store.postgresql.moments import DatabaseClock
from perdure.store.postgresql.queries import SCHEMA, named_queries


@dataclass(frozen=True, slots=True)
class Scope:
    """`clock` is given by tests only: the clock of a PostgreSQL store is that of its database."""

    namespace: str
    schema: str = SCHEMA
    clock: Clock | None = None
    authority: DatabaseClock | None = None
    """Told what the clock of the database says whenever it was read."""
    is_portable: bool = False
    """The database only speaks PostgreSQL's protocol."""

    def sql(self, subject: str, name: str) -> str:
        return named_queries(subject, self.schema, is_portable=self.is_portable)[name]

    def now(self) -> Instant | None:
        """None: let the database say."""
        return None if self.clock is None else self.clock.now()

    def foreseen_now(self) -> Instant | None:
        """What the database would say, for it to make sure of; None where that is not known."""
        if self.clock is not None:
            return self.clock.now()
        return self.authority.now() if self.authority is not None and self.authority.is_known else None

    def hear(self, now: Instant) -> None:
        """What the clock of the database said; with the clock of a test it is of no use."""
        if self.clock is None and self.authority is not None:
            self.authority.read(now)

    def lease_now(self) -> Microseconds | None:
        return None if self.clock is None else self.clock.since_boot()
