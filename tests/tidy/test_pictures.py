"""Pictures that are drawn from the code cannot fall behind it."""

import runpy

from perdure.model.states import TRANSITIONS, RunState
from tests.tidy.project import ROOT

DRAWING = "docs/draw_states.py"


def test_the_picture_of_the_states_is_drawn_from_the_table_as_it_is() -> None:
    """After a change of the table: `python docs/draw_states.py`."""
    drawing = runpy.run_path(str(ROOT / DRAWING))

    assert drawing["PICTURE"].read_text() == drawing["drawn"]()


def test_every_state_and_every_happening_is_in_the_picture() -> None:
    picture = (ROOT / "docs/states-of-a-run.svg").read_text()

    words = {state.value for state in RunState} | {happening for _, happening in TRANSITIONS}
    assert not [word for word in words if word not in picture]
