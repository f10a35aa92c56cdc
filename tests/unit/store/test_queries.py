"""The named queries: each says what it guarantees, and the hot ones read no more than they must."""

import re
from pathlib import Path

import apsw
import pytest

from perdure.store.queries import parsed
from perdure.store.sqlite import queries
from perdure.store.sqlite.queries import named_queries

FOLDER = Path(queries.__file__).parent
SUBJECTS = sorted(path.stem for path in FOLDER.glob("*.sql"))
ALL = [(subject, name) for subject in SUBJECTS for name in named_queries(subject)]
READS_ALL_ON_PURPOSE = {("workers", "listed"), ("workers", "idle_dead"), ("claims", "strikes"), ("runs", "counts"), ("runs", "groups")}
"""They read small tables, or part of one: workers that live or died lately, runs that killed. Counts are asked for by people only."""


@pytest.fixture(scope="module")
def db() -> apsw.Connection:
    db = apsw.Connection(":memory:")
    for path in sorted((FOLDER.parent / "migrations").glob("*.sql")):
        db.execute(path.read_text()).fetchall()
    return db


def plan(db: apsw.Connection, statement: str) -> list[str]:
    numbers = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    values = (None,) * max(numbers) if numbers else dict.fromkeys(re.findall(r":(\w+)", statement))
    return [row[3] for row in db.execute(f"explain query plan {statement}", values).fetchall()]


@pytest.mark.parametrize(("subject", "name"), ALL)
def test_every_query_can_be_prepared_and_touches_its_tables_by_key(db: apsw.Connection, subject: str, name: str) -> None:
    steps = plan(db, named_queries(subject)[name])

    tables = ("runs", "history", "inbox", "attempts", "signal_keys", "workers", "suspects", "requests", "generations", "troubles")
    scans = [step for step in steps if step.startswith("SCAN") and step.split()[1] in tables]
    sorts = [step for step in steps if "TEMP B-TREE" in step]
    assert (subject, name) in READS_ALL_ON_PURPOSE or not scans + sorts, steps


@pytest.mark.parametrize(
    ("subject", "name", "expected"),
    [
        ("claims", "due", "INDEX runs_due (namespace=? AND workflow=? AND only_python=? AND wake_at<?)"),
        ("claims", "next_due", "COVERING INDEX runs_due (namespace=? AND workflow=? AND only_python=?"),
        ("claims", "orphaned", "INDEX runs_owned (namespace=? AND owner=? AND workflow=?)"),
        ("claims", "has_orphan", "INDEX runs_owned (namespace=? AND owner=? AND workflow=?)"),
        ("claims", "owned", "COVERING INDEX runs_owned (namespace=? AND owner=?)"),
        ("claims", "dead_owners", "COVERING INDEX runs_owned (namespace=? AND owner>?)"),
        ("runs", "listed", "INDEX runs_listed (namespace=? AND (created_at,id)<(?,?))"),
        ("runs", "listed_of_state", "INDEX runs_by_state (namespace=? AND state=? AND (created_at,id)<(?,?))"),
        ("runs", "listed_of_workflow", "INDEX runs_by_workflow (namespace=? AND workflow=? AND state=? AND (created_at,id)<(?,?))"),
        ("runs", "groups", "INDEX runs_by_state (namespace=? AND state=?)"),
        ("removal", "expired", "COVERING INDEX runs_ended (namespace=? AND state=? AND ended_at<?)"),
        ("removal", "records", "COVERING INDEX sqlite_autoindex_history_1 (namespace=? AND run_id=?)"),
        ("requests", "any", "PRIMARY KEY (namespace=?)"),
        ("requests", "of_run", "PRIMARY KEY (namespace=? AND run_id=?)"),
    ],
)
def test_the_hot_queries_use_the_index_made_for_them(db: apsw.Connection, subject: str, name: str, expected: str) -> None:
    assert any(expected in step for step in plan(db, named_queries(subject)[name]))


ONE = "-- name: a\n-- says\nselect 1;\n"


@pytest.mark.parametrize("text", ["select 1;", "-- name: a\nselect 1;", "-- name: a\n-- says\n", ONE + ONE])
def test_a_query_without_a_name_of_its_own_a_guarantee_or_a_statement_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name"):
        parsed("subject", text)


def test_no_query_is_left_that_nobody_uses() -> None:
    code = "".join(path.read_text() for path in FOLDER.parent.glob("*.py"))
    indirect = {"note", "give_up", "put_aside", "quarantine", "succeed", "finish"}

    assert [name for _, name in ALL if f'"{name}"' not in code and name not in indirect] == []
