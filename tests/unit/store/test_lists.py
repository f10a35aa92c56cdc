"""A page of a list costs the same whatever else is in the store."""

from pathlib import Path

import apsw
import pytest

from perdure.model.states import RunState
from perdure.store.sqlite import queries, runs

MIGRATIONS = Path(queries.__file__).parents[1] / "migrations"
INSTRUCTIONS_A_TELL = 10

FILTERS = [
    (None, None),
    (None, RunState.FAILED),
    (None, RunState.QUARANTINED),
    ("common", None),
    ("rare", None),
    ("common", RunState.FAILED),
    ("rare", RunState.COMPLETED),
    ("rare", RunState.PENDING),
]


def store_of(runs_held: int) -> apsw.Connection:
    """Most runs are of a common workflow and completed; some failed, and a few are of a rare workflow."""
    db = apsw.Connection(":memory:")
    for path in sorted(MIGRATIONS.glob("*.sql")):
        db.execute(path.read_text()).fetchall()
    rows = []
    for number in range(runs_held):
        rare = number < 40
        state = "failed" if number % 251 == 7 else "quarantined" if number in (50, 60) else "completed"
        rows.append((f"r{number:07}", "rare" if rare else "common", state, number, None if state == "quarantined" else number))
    db.executemany(
        "insert into runs (namespace, id, workflow, state, generation, input, input_hash, seed, checksum, only_python, created_at,"
        " ended_at, issued) values ('default', ?1, ?2, ?3, 0, x'', x'', x'', 0, '', ?4, ?5, 0)",
        rows,
    )
    return db


def cost_of(db: apsw.Connection, workflow: str | None, state: RunState | None) -> tuple[list[str], int]:
    """The page, and how many instructions SQLite carried out for it."""
    told = 0

    def tell() -> bool:
        nonlocal told
        told += 1
        return False

    db.set_progress_handler(tell, INSTRUCTIONS_A_TELL)
    page = runs.listed(db, "default", workflow, state, 20, None)
    db.set_progress_handler(None)
    return [one.id for one in page], told * INSTRUCTIONS_A_TELL


@pytest.fixture(scope="module")
def stores() -> tuple[apsw.Connection, apsw.Connection]:
    return store_of(2_000), store_of(60_000)


@pytest.mark.parametrize(("workflow", "state"), FILTERS)
def test_f78_a_page_costs_the_same_among_thirty_times_as_many_runs(
    stores: tuple[apsw.Connection, apsw.Connection], workflow: str | None, state: RunState | None
) -> None:
    few, many = (cost_of(db, workflow, state) for db in stores)

    assert many[1] <= 2 * few[1] + 500, (few[1], many[1])
    assert many[1] < 5_000


def test_a_page_is_what_a_look_at_every_run_would_give(stores: tuple[apsw.Connection, apsw.Connection]) -> None:
    for workflow, state in FILTERS:
        wanted = [] if workflow is None else [f"workflow = '{workflow}'"]
        wanted += [] if state is None else [f"state = '{state}'"]
        where = f"where {' and '.join(wanted)}" if wanted else ""
        found = stores[0].execute(f"select id from runs {where} order by created_at desc, id desc limit 20").fetchall()
        assert cost_of(stores[0], workflow, state)[0] == [run_id for (run_id,) in found]
