"""Functions in one transaction: one that is refused fails alone, and trouble with the store reaches everyone."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.errors import RunEnded, StoreError, StoreFailed, StoreIsReadOnly, StoreNotFound, StoreUnavailable
from perdure.store.protocol import UnknownOutcome
from perdure.store.sqlite import transactions
from perdure.store.sqlite.database import APPLICATION_ID, Database
from perdure.store.sqlite.statements import fetch
from perdure.store.sqlite.transactions import Connection, Done, Failed, Outcome, Transactions, commit_transaction
from tests.unit.store.faulty_disk import sync_error


class Log:
    """A store of numbers, with commits that can be counted and broken."""

    def __init__(self, path: Path) -> None:
        self.database = Database(str(path))
        self.transactions = Transactions(self.database, self.commit)
        self.commits = 0
        self.faults: list[Callable[[Connection], None]] = []
        self.transactions.open(create=True)
        self.run(
            lambda db: fetch(db, f"pragma application_id = {APPLICATION_ID}"),
            lambda db: fetch(db, "create table numbers (number integer primary key) strict"),
        )
        self.commits = 0

    def commit(self, db: Connection) -> None:
        self.commits += 1
        if self.faults:
            self.faults.pop(0)(db)
        else:
            commit_transaction(db)

    def run(self, *functions: Callable[[Connection], Any]) -> list[Outcome]:
        return self.transactions.run(functions)

    @property
    def numbers(self) -> list[int]:
        (outcome,) = self.run(lambda db: [number for (number,) in fetch(db, "select number from numbers order by rowid")])
        assert isinstance(outcome, Done), outcome
        return list(outcome.value)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "log.db")
    yield log
    log.transactions.close()


def insert(number: int) -> Callable[[Connection], int]:
    def function(db: Connection) -> int:
        fetch(db, "insert into numbers values (?)", (number,))
        return number

    return function


def refuse(after_writing: bool) -> Callable[[Connection], None]:
    def function(db: Connection) -> None:
        if after_writing:
            insert(99)(db)
        raise RunEnded("it has ended")

    return function


def fail(error: Callable[[], Exception]) -> Callable[[Connection], None]:
    def function(db: Connection) -> None:
        raise error()

    return function


def error_of(outcome: Outcome) -> Exception:
    assert isinstance(outcome, Failed)
    return outcome.error


def test_all_share_one_commit_and_get_their_own_answers(log: Log) -> None:
    outcomes = log.run(insert(1), insert(2), insert(3))

    assert outcomes == [Done(1), Done(2), Done(3)]
    assert log.commits == 1


@pytest.mark.parametrize("after_writing", [True, False])
def test_one_that_is_refused_fails_alone_and_leaves_nothing(log: Log, after_writing: bool) -> None:
    outcomes = log.run(insert(1), refuse(after_writing), insert(3))

    assert (outcomes[0], outcomes[2]) == (Done(1), Done(3))
    assert isinstance(error_of(outcomes[1]), RunEnded)
    assert log.numbers == [1, 3]


def test_one_that_refuses_before_it_writes_costs_the_others_no_commit(log: Log) -> None:
    log.run(insert(1), refuse(after_writing=False), insert(3))

    assert log.commits == 1


@pytest.mark.parametrize("error", [apsw.ConstraintError, apsw.MismatchError, ZeroDivisionError, UnicodeError])
def test_one_with_bad_data_or_a_bug_fails_alone(log: Log, error: type[Exception]) -> None:
    outcomes = log.run(insert(1), fail(error), insert(3))

    assert (outcomes[0], outcomes[2]) == (Done(1), Done(3))
    assert isinstance(error_of(outcomes[1]), StoreError if issubclass(error, apsw.Error) else error)
    assert log.numbers == [1, 3]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (apsw.BusyError, StoreUnavailable),
        (apsw.FullError, StoreUnavailable),
        (apsw.IOError, StoreUnavailable),
        (apsw.CantOpenError, StoreUnavailable),
        (apsw.ReadOnlyError, StoreIsReadOnly),
    ],
)
def test_trouble_with_the_store_reaches_everyone_and_writes_nothing(log: Log, error: type[Exception], expected: type[Exception]) -> None:
    outcomes = log.run(insert(1), fail(error), insert(3))

    assert [type(error_of(outcome)) for outcome in outcomes] == [expected] * 3
    assert log.commits == 0
    assert log.numbers == []
    assert log.run(insert(4)) == [Done(4)]


def test_a_damaged_page_fails_whoever_reads_it(log: Log) -> None:
    outcomes = log.run(insert(1), fail(apsw.CorruptError), insert(3))

    assert (outcomes[0], outcomes[2]) == (Done(1), Done(3))
    assert isinstance(error_of(outcomes[1]), StoreFailed)


def test_after_a_failed_sync_nothing_is_tried_any_more(log: Log) -> None:
    def failing(db: Connection) -> None:
        raise sync_error()

    log.faults.append(failing)

    assert isinstance(error_of(log.run(insert(1))[0]), StoreFailed)
    commits = log.commits
    assert [type(error_of(outcome)) for outcome in log.run(insert(2), insert(3))] == [StoreFailed] * 2
    assert log.commits == commits


def test_a_commit_that_is_busy_is_tried_again(log: Log) -> None:
    log.faults.append(fail(apsw.BusyError))

    assert log.run(insert(1)) == [Done(1)]
    assert log.numbers == [1]


def test_a_commit_that_stays_busy_is_undone(log: Log) -> None:
    log.faults += [fail(apsw.BusyError)] * 2

    assert isinstance(error_of(log.run(insert(1))[0]), StoreUnavailable)
    assert log.numbers == []


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_commit_that_fails_is_an_unknown_outcome_and_a_new_connection_finds_out(log: Log, is_committed: bool) -> None:
    def lose(db: Connection) -> None:
        if is_committed:
            commit_transaction(db)
        raise apsw.IOError("lost")

    log.faults.append(lose)

    outcomes = log.run(insert(1), insert(2))

    assert [type(error_of(outcome)) for outcome in outcomes] == [UnknownOutcome] * 2
    assert log.numbers == ([1, 2] if is_committed else [])


def test_after_a_commit_that_failed_for_whatever_reason_nothing_more_is_asked_of_that_connection(log: Log) -> None:
    log.run(lambda db: fetch(db, "create temp table mark (x)"))
    log.faults.append(fail(apsw.FullError))

    assert isinstance(error_of(log.run(insert(1))[0]), UnknownOutcome)

    assert log.run(lambda db: fetch(db, "select name from sqlite_temp_schema")) == [Done([])]


def test_errors_are_not_shared_between_those_who_raise_them(log: Log) -> None:
    first, second = log.run(fail(apsw.FullError), insert(2))

    assert error_of(first) is not error_of(second)


def test_a_file_that_goes_while_a_transaction_runs_takes_it_along(log: Log) -> None:
    outcomes = log.run(insert(1), lambda db: os.unlink(log.database.path))

    assert [type(error_of(outcome)) for outcome in outcomes] == [StoreNotFound] * 2
    assert log.commits == 0


def test_what_others_wrote_is_noticed_and_what_we_wrote_is_not(log: Log) -> None:
    log.transactions.watches = True
    log.transactions.look_for_others()
    log.transactions.others_wrote = False

    log.run(insert(1))
    log.transactions.look_for_others()
    assert not log.transactions.others_wrote

    with apsw.Connection(log.database.path) as other:
        insert(2)(other)
    log.transactions.look_for_others()
    assert log.transactions.others_wrote


def test_what_others_wrote_is_noticed_though_we_write_as_well(log: Log) -> None:
    log.transactions.watches = True
    log.transactions.look_for_others()
    log.transactions.others_wrote = False
    with apsw.Connection(log.database.path) as other:
        insert(2)(other)

    log.run(insert(1))

    assert log.transactions.others_wrote


def test_where_no_connection_can_be_had_each_of_many_is_told_after_one_try(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def refuse(_: Database) -> apsw.Connection:
        tries.append(1)
        raise StoreUnavailable("busy")

    log.transactions._drop()  # as after an error of the disk
    monkeypatch.setattr(Database, "connect_writer", refuse)

    outcomes = log.run(*(insert(number) for number in range(50)))

    assert [type(outcome.error) for outcome in outcomes if isinstance(outcome, Failed)] == [StoreUnavailable] * 50
    assert len(tries) == 1


def test_a_store_that_cannot_be_held_for_want_of_a_descriptor_is_tried_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.transactions.close()

    def refuse(_: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(transactions, "take_hold", refuse)
        (outcome,) = log.run(insert(1))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, StoreUnavailable)

    assert log.run(insert(1)) == [Done(1)]
