"""What the tables allow is what the table of states says."""

import re
from pathlib import Path

import apsw
import pytest

from perdure.model.states import FINAL, RunState
from perdure.store.sqlite import queries

MIGRATIONS = sorted((Path(queries.__file__).parents[1] / "migrations").glob("*.sql"))
INSERT = (
    "insert into runs (namespace, id, workflow, state, generation, input, input_hash, seed, checksum, only_python, created_at, ended_at,"
    " owner, wake_at, issued) values ('default', ?1, 'flow', ?2, 0, x'', x'', x'', 0, '', 0, ?3, ?4, ?5, 0)"
)


@pytest.fixture
def db() -> apsw.Connection:
    db = apsw.Connection(":memory:")
    for path in MIGRATIONS:
        db.execute(path.read_text()).fetchall()
    return db


def test_the_column_of_states_takes_exactly_the_states_there_are() -> None:
    (listed,) = re.findall(r"check \(state in \(([^)]*'pending'[^)]*)\)\)", "".join(path.read_text() for path in MIGRATIONS))

    assert re.findall(r"'(\w+)'", listed) == [state.value for state in RunState]


@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("ended", [None, 1])
@pytest.mark.parametrize("owner", [None, "worker-1"])
@pytest.mark.parametrize("wake_at", [None, 1])
def test_owner_end_and_wake_up_fit_the_state_or_the_row_is_refused(
    db: apsw.Connection, state: RunState, ended: int | None, owner: str | None, wake_at: int | None
) -> None:
    fits = (
        (ended is not None) == (state in FINAL)
        and (owner is not None) == (state is RunState.RUNNING)
        and (wake_at is None or state in (RunState.PENDING, RunState.WAITING))
    )
    if fits:
        db.execute(INSERT, ("order-1", state, ended, owner, wake_at)).fetchall()
        return
    with pytest.raises(apsw.ConstraintError):
        db.execute(INSERT, ("order-1", state, ended, owner, wake_at)).fetchall()
