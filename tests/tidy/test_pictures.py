"""Pictures that are drawn by a program cannot fall behind it, nor behind the code that it draws."""

import runpy

import pytest

from perdure.model.states import TRANSITIONS, RunState
from tests.tidy.project import ROOT

DRAWINGS = ["docs/draw_states.py", "docs/draw_too_late.py"]


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_a_picture_is_as_its_program_draws_it(drawing: str) -> None:
    """After a change of the program, or of the table of states: `python docs/draw_….py`."""
    drawn = runpy.run_path(str(ROOT / drawing))

    assert drawn["PICTURE"].read_text() == drawn["drawn"]()


def test_every_state_and_every_happening_is_in_the_picture() -> None:
    picture = (ROOT / "docs/states-of-a-run.svg").read_text()

    words = {state.value for state in RunState} | {happening for _, happening in TRANSITIONS}
    assert not [word for word in words if word not in picture]
