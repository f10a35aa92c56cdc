"""A primary and a standby that follows it, and one address for both."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from tests.cluster.servers import PostgresServer
from tests.cluster.view import PostgresqlView
from tests.waiting import wait_until

STANDBY = "standby"
numbers = count(1)


class Pair:
    """`is_synchronous`: a COMMIT is answered once the standby has it on disk."""

    def __init__(self, primary: PostgresServer, standby: PostgresServer, *, is_synchronous: bool) -> None:
        self.primary = primary
        self.standby = standby
        self.schema = f"pair_{next(numbers)}"
        if is_synchronous:
            primary.set(synchronous_standby_names=STANDBY)
            primary.wait_for_follower(STANDBY)
            self._wait_until_synchronous()

    def _wait_until_synchronous(self) -> None:
        sql = "select 1 from pg_stat_replication where sync_state = 'sync'"
        wait_until(lambda: self.primary.ask(sql), "the standby is synchronous")

    @property
    def address(self) -> str:
        hosts = ",".join(f"{one.host}:{one.port}" for one in (self.primary, self.standby))
        return f"postgresql://perdure@{hosts}/postgres?schema={self.schema}"

    def view(self) -> PostgresqlView:
        return PostgresqlView(self.address.replace("?schema=", "?target_session_attrs=read-write&schema="))

    def has_all(self) -> bool:
        return self.standby.has_caught_up_with(self.primary)

    def cut_replication(self) -> None:
        """The standby gets nothing any more, and nobody is told."""
        self.standby.set(primary_conninfo="")
        wait_until(lambda: not self.primary.ask("select 1 from pg_stat_replication"), "nobody follows")

    def fail_over(self) -> None:
        self.primary.kill()
        self.standby.promote()


@contextmanager
def new_pair(*, is_synchronous: bool) -> Iterator[Pair]:
    with PostgresServer() as primary:
        standby = primary.standby(STANDBY)
        try:
            yield Pair(primary, standby, is_synchronous=is_synchronous)
        finally:
            standby.__exit__()
