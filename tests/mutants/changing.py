"""What could be got wrong about marks, sagas and generations."""

from tests.mutants.naming import bug

PATCHED = "tests/acceptance/test_patched.py"
SAGAS = "tests/acceptance/test_sagas.py"
CANCELLED = "tests/acceptance/test_sagas_cancelled.py"
CONTINUED = "tests/acceptance/test_continue_as_new.py"

CHANGING = (
    bug(
        "pass a mark behind which the run waits",
        f"{PATCHED}::test_a_run_that_waited_behind_the_place_of_the_change_keeps_the_old_way_also_after_more_restarts",
        edits=(("runtime/marks.py", "is_new = position > self._reached and issued", "is_new = issued"),),
    ),
    bug(
        "do not record the marks of a run that is parked or ends",
        f"{PATCHED}::test_a_mark_passed_last_is_kept_although_the_run_waits_or_ends_before_it_records_anything_else",
        edits=(
            (
                "engine/gathered.py",
                "    if execution.marks.fresh and run.stands:",
                "    if execution.marks.fresh and run.stands and records:",
            ),
        ),
    ),
    bug(
        "undo in the order in which it was done",
        f"{SAGAS}::test_a_run_that_fails_is_undone_in_reverse_and_fails_with_its_own_error",
        edits=(("authoring/saga.py", "    for one in reversed(noted):", "    for one in noted:"),),
    ),
    bug(
        "let a cancelled run's time to clean up end what is being undone",
        f"{CANCELLED}::test_neither_more_cancels_nor_the_end_of_its_time_interrupts_what_is_being_undone",
        edits=(("runtime/execution.py", "return None if self.sagas.undoing else self._clean_up_ends_at", "return self._clean_up_ends_at"),),
    ),
    bug(
        "cut a cancelled run off inside its saga",
        f"{CANCELLED}::test_code_that_clings_to_its_saga_is_thrown_out_of_it_when_its_time_is_over",
        edits=(
            (
                "engine/activation.py",
                "        if not run.execution.sagas.noted or run.execution.is_out_of_time:",
                "        if run.execution.note is None:",
            ),
        ),
    ),
    bug(
        "call a cancelled run cancelled although it is left half undone",
        f"{CANCELLED}::test_a_compensation_that_fails_for_good_makes_a_failed_run_of_a_cancelled_one",
        edits=(
            (
                "engine/endings.py",
                "    if isinstance(error, CompensationFailed):\n        return True",
                "    if isinstance(error, CompensationFailed):\n        return False",
            ),
        ),
    ),
    bug(
        "drop the signals that a generation has not received",
        f"{CONTINUED}::test_signals_that_nobody_received_wait_for_the_next_generation_in_order",
        edits=(("engine/endings.py", "for topic, left in execution.unreceived()]", "for topic, left in execution.unreceived()[:0]]"),),
    ),
    bug(
        "let a generation draw what the one before drew",
        f"{CONTINUED}::test_the_result_is_waited_for_through_all_generations_and_each_has_keys_and_draws_of_its_own",
        edits=(("store/sqlite/runs.py", "seed=seed_of(row.seed, opened.key_generation)", "seed=row.seed"),),
    ),
)
