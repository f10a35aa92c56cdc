"""What could be got wrong about what people want of runs."""

from tests.mutants.naming import bug

CANCEL = "tests/acceptance/test_cancel.py"
PAUSE = "tests/acceptance/test_pause.py"
PATCHED = "tests/acceptance/test_patched.py"
RETRY = "tests/acceptance/test_retry.py"
REQUESTS = "tests/contract/test_requests.py"
GENERATIONS = "tests/contract/test_generations.py"
REMOVAL = "tests/contract/test_removal.py"

ORDERING = (
    bug(
        "let the end of a run win over a cancel that was acknowledged",
        f"{CANCEL}::test_b14_a_cancel_that_is_acknowledged_just_before_the_end_is_committed_wins",
        edits=(("store/changes.py", " if CANCEL in wishes and state is not RunState.CANCELLED:", " if False:"),),
    ),
    bug(
        "take what the code returns for the end of a cancelled run",
        f"{CANCEL}::test_i12_a_run_that_swallows_its_cancel_and_returns_is_cancelled_all_the_same",
        edits=(("engine/endings.py", "    if execution.is_cancelled", "    if False and execution.is_cancelled"),),
    ),
    bug(
        "wake nobody when a run is to be cancelled",
        f"{REQUESTS}::test_a_waiting_run_that_is_to_be_cancelled_is_due_in_the_same_transaction",
        edits=(("store/sqlite/requests.py", '    change(db, SQL["wake"], (namespace, run_id, now))\n', ""),),
    ),
    bug(
        "forget a cancel as soon as it was told",
        f"{REQUESTS}::test_cancelled_again_after_it_was_told_it_is_not_told_again",
        edits=(
            (
                "store/sqlite/queries/checkpoints.sql",
                "update requests set told_at = ?3 where namespace = ?1 and run_id = ?2 and kind = 'cancel';",
                "delete from requests where namespace = ?1 and run_id = ?2 and kind = 'cancel' and ?3 > 0;",
            ),
        ),
    ),
    bug(
        "let a paused run's timers and signals in",
        f"{PAUSE}::test_a_step_that_fails_while_its_run_is_to_be_paused_is_tried_again_when_it_is_resumed",
        f"{REQUESTS}::test_a_run_that_is_owned_is_paused_when_its_owner_gives_it_up",
        edits=(("store/changes.py", "(change.reads_inbox and not is_pausing):", "change.reads_inbox:"),),
    ),
    bug(
        "begin everything that is wanted when a pause is withdrawn",
        f"{PAUSE}::test_a_step_whose_result_is_recorded_as_its_run_is_no_longer_to_be_paused_does_not_begin_again",
        edits=(
            (
                "engine/activation.py",
                "            run.released, run.held = run.held, None",
                "            run.held = None\n"
                "            for one in run.execution.wanted():\n"
                "                self.attempts.begin(run, one)",
            ),
        ),
    ),
    bug(
        "give a retried step another key",
        f"{RETRY}::test_a_failed_run_goes_on_from_the_failed_step_with_its_key_and_its_tries_counted_anew",
        edits=(
            ("store/sqlite/retries.py", "position - 1, base.key_generation, base.input", "position - 1, row.generation + 1, base.input"),
        ),
    ),
    bug(
        "give the key of a step that failed to one that newer code has before it",
        f"{PATCHED}::test_a_step_that_failed_is_retried_under_its_key_although_the_code_has_a_new_step_before_it",
        edits=(("store/sqlite/retries.py", "reached_before(position, later)", "0"),),
    ),
    bug(
        "send code that has been repaired the old way when its run is retried",
        f"{PATCHED}::test_a_run_whose_own_code_failed_takes_the_new_way_from_there_when_it_is_retried",
        edits=(("store/retrying.py", "else max(0, position - 2)", "else position - 1"),),
    ),
    bug(
        "forget results that were recorded beside a failure",
        f"{GENERATIONS}::test_results_and_signals_recorded_with_the_failure_are_kept_and_other_failures_and_timers_are_not",
        edits=(
            (
                "store/sqlite/retries.py",
                "    for number, record in enumerate(carried, position):",
                "    for number, record in enumerate([], position):",
            ),
        ),
    ),
    bug(
        "retry a run that has cleaned up",
        f"{RETRY}::test_a_run_that_asked_for_more_after_its_failure_is_not_retried",
        edits=(
            ("runtime/retry_point.py", "            if one is self.handled:", "            if False:"),
            ("runtime/retry_point.py", "            if one is self.latest:", "            if False:"),
        ),
    ),
    bug(
        "leave the keys of a deleted run taken",
        f"{REMOVAL}::test_a_run_that_has_ended_is_deleted_and_its_id_is_free",
        edits=(("store/sqlite/removal.py", '"requests", "keys", "suspects"', '"requests", "suspects"'),),
    ),
)
