"""The table of states says all that can happen to a run."""

import pytest

from perdure.model.states import FINAL, TRANSITIONS, RunState, after


def reachable(start: RunState) -> set[RunState]:
    found, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        following = {target for (source, _), target in TRANSITIONS.items() if source is state}
        waiting += following - found
        found |= following
    return found


def test_g13_nothing_leads_out_of_a_final_state_but_the_retry_of_a_failed_run() -> None:
    assert [(source, happening) for source, happening in TRANSITIONS if source.is_final] == [(RunState.FAILED, "retry")]
    assert {state for state in RunState if state.is_final} == FINAL == {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}


@pytest.mark.parametrize("state", sorted({source for source, _ in TRANSITIONS}))
def test_g11_from_every_other_state_a_run_can_still_reach_its_end(state: RunState) -> None:
    assert reachable(state) >= {RunState.COMPLETED, RunState.FAILED}


def test_every_state_that_a_run_can_come_into_comes_from_pending() -> None:
    targets = set(TRANSITIONS.values()) | {source for source, _ in TRANSITIONS}
    assert reachable(RunState.PENDING) >= targets


def test_only_a_running_run_ends_by_itself() -> None:
    assert {source for (source, _), target in TRANSITIONS.items() if target in {RunState.COMPLETED, RunState.FAILED}} == {RunState.RUNNING}


@pytest.mark.parametrize("state", [state for state in RunState if not state.is_final])
def test_whatever_has_not_ended_can_be_cancelled(state: RunState) -> None:
    following = after(state, "cancel")
    assert following is not None
    assert following is RunState.CANCELLED or after(after(following, "claim") or following, "cancel") is RunState.CANCELLED


@pytest.mark.parametrize("state", RunState)
def test_what_is_not_in_the_table_is_refused(state: RunState) -> None:
    assert after(state, "an unheard-of happening") is None
    for (source, happening), target in TRANSITIONS.items():
        assert after(source, happening) is target
        if (state, happening) not in TRANSITIONS:
            assert after(state, happening) is None


def test_states_are_stored_and_shown_by_their_names() -> None:
    assert [str(state) for state in RunState] == [
        "pending", "running", "waiting", "paused", "quarantined", "completed", "failed", "cancelled",
    ]  # fmt: skip
