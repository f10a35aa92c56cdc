"""What could be got wrong about clocks that are set back, flipped bits, and payloads that are many and large."""

from tests.mutants.naming import G03, bug

CLAIMS = "tests/contract/test_claims.py"
ROWS = "tests/contract/test_damaged_rows.py"
INBOX = "tests/contract/test_damaged_inbox.py"
BOUNDS = "tests/contract/test_bounds.py"
DAMAGE = "tests/acceptance/test_damage.py"
LOADING = "tests/unit/engine/test_loading.py"

GUARDING = (
    bug(
        "take the fencing token from the clock",
        f"{G03}::test_the_fencing_token_grows_when_a_run_changes_hands",
        edits=(("engine/worker.py", 'f"{row.fencing:020d}-', 'f"{self._ports.clock.now():020d}-'),),
    ),
    bug(
        "forget the fencing number that a claim has given",
        f"{CLAIMS}::test_each_claim_of_a_run_has_a_greater_fencing_number_than_those_before_although_the_clock_is_set_back",
        edits=(("store/sqlite/queries/claims.sql", "fencing = ?6", "fencing = min(fencing, ?6)"),),
    ),
    bug(
        "deliver a signal whatever its checksum",
        f"{INBOX}::test_a_damaged_signal_is_told_with_its_run_and_others_get_theirs",
        f"{DAMAGE}::test_f37_a_damaged_signal_quarantines_its_run_and_no_other_and_is_delivered_once_it_was_put_right",
        edits=(("store/sqlite/inbox.py", "checksum == signal_checksum(run_id, *signal)", "True"),),
    ),
    bug(
        "let a run go on whose inbox is damaged",
        f"{DAMAGE}::test_a_damaged_signal_stops_a_run_in_memory_whose_recorded_steps_stay_recorded",
        edits=(("engine/worker.py", "        if written.damage is not None:", "        if False and written.damage is not None:"),),
    ),
    bug(
        "write the intent of a step that will not begin for a damaged inbox",
        f"{INBOX}::test_no_intent_is_written_for_a_step_that_will_not_begin_because_the_inbox_is_damaged",
        edits=(("store/changes.py", "change, damage = replace(change, intents=()), str(error)", "damage = str(error)"),),
    ),
    bug(
        "read inboxes by their number of signals only",
        f"{BOUNDS}::test_a_checkpoint_reads_no_more_of_an_inbox_than_its_bytes_allow",
        edits=(("store/sqlite/statements.py", "            bytes_most -= size_of(row)\n", ""),),
    ),
    bug(
        "allow each run of a checkpoint all the bytes of its inboxes",
        f"{BOUNDS}::test_the_bytes_are_shared_by_all_runs_of_a_checkpoint_and_who_gets_nothing_is_told",
        edits=(("store/sqlite/inbox.py", "            self._bytes_left -= size_of(row)", "            self._bytes_left -= 0"),),
    ),
    bug(
        "give nothing to anybody where the first signal is too large",
        f"{BOUNDS}::test_a_signal_larger_than_all_bytes_allowed_is_delivered_alone",
        edits=(("store/sqlite/inbox.py", "takes_first=self._is_untouched", "takes_first=False"),),
    ),
    bug(
        "give a run that was put off its turn when it comes",
        "tests/acceptance/test_large_payloads.py::test_a_run_that_was_put_off_for_a_large_inbox_comes_before_it_in_the_next_checkpoint",
        edits=(("engine/worker.py", "self._committer.touch_first(run)", "self._committer.touch(run)"),),
    ),
    bug(
        "load histories by their number only",
        f"{BOUNDS}::test_histories_are_loaded_in_order_until_one_passes_the_bytes_allowed",
        edits=(("store/sqlite/runs.py", "(bytes_most := bytes_most - found[run_id].size) < 0", "(bytes_most := bytes_most - 0) < 0"),),
    ),
    bug(
        "load more while what was loaded is large",
        f"{LOADING}::test_nothing_more_is_read_while_what_was_read_is_large",
        edits=(("engine/loading.py", " or self._bytes > most:", ":"),),
    ),
    bug(
        "lose the runs behind a large history",
        f"{LOADING}::test_all_are_taken_up_in_order_and_one_that_is_larger_than_allowed_is_alone",
        edits=(("engine/loading.py", "            self._waiting.extendleft(reversed(left))", "            pass"),),
    ),
    bug(
        "let a large history come with its claim",
        f"{BOUNDS}::test_a_long_or_large_history_does_not_come_with_its_claim",
        edits=(("store/sqlite/runs.py", "extent is not None and extent <= bytes_most", "extent is not None"),),
    ),
    bug(
        "begin a run whose input was damaged",
        f"{ROWS}::test_a_run_whose_input_was_damaged_before_it_began_does_not_begin",
        edits=(("store/sqlite/claims.py", "input_checksum(run) != row[CHECKSUM]", "False"),),
    ),
    bug(
        "leave a run whose row is damaged where every claim finds it",
        f"{ROWS}::test_a_due_run_whose_row_is_damaged_is_quarantined_and_the_others_are_claimed",
        edits=(
            ("store/sqlite/claims.py", "(namespace, raw_of(row[0]), damage_failure(damage)", "(namespace, row[0], damage_failure(damage)"),
        ),
    ),
    bug(
        "cancel a run whose state is damaged as if it were quarantined",
        f"{ROWS}::test_nothing_is_done_to_a_run_whose_state_is_damaged",
        edits=(("store/sqlite/requests.py", "    if row.damage is not None:", "    if False:"),),
    ),
    bug(
        "forget the dead before their files",
        "tests/contract/test_workers.py::test_the_files_of_the_dead_are_cleared_away_before_their_rows",
        edits=(
            (
                "store/sqlite/store.py",
                "        for _, lock in dead:\n            clear_away(lock)\n        if dead:",
                "        if dead:",
            ),
        ),
    ),
    bug(
        "let code go on that does not match because the run is cancelled and its inbox full",
        "tests/acceptance/test_cancel_and_quarantine.py::"
        "test_nothing_of_code_that_does_not_match_is_run_while_a_full_inbox_is_recorded_before_the_end",
        edits=(
            (
                "engine/activation.py",
                "        if isinstance(ending, Quarantine):\n            run.ending",
                "        if False:\n            run.ending",
            ),
        ),
    ),
    bug(
        "leave a run that is to be paused waiting for a step that was cancelled from outside",
        "tests/acceptance/test_pause.py::"
        "test_a_run_whose_last_step_under_way_is_cancelled_from_outside_while_it_is_to_be_paused_is_not_left_waiting",
        edits=(("engine/attempts.py", "                if run.held is not None:  # nothing", "                if False:  # nothing"),),
    ),
    bug(
        "end the worker for what is damaged about the generations of one run",
        f"{DAMAGE}::test_what_is_damaged_about_the_generations_of_a_run_in_memory_quarantines_it_and_no_other",
        edits=(
            (
                "store/sqlite/checkpoints.py",
                "    except (*REFUSES_DATA, NotOwned, CorruptedHistory) as error:",
                "    except (*REFUSES_DATA, NotOwned) as error:",
            ),
        ),
    ),
    bug(
        "quarantine a poisoned run that is to be cancelled",
        "tests/contract/test_suspects.py::test_a_poisoned_run_that_is_to_be_cancelled_ends_cancelled_for_that_was_promised",
        edits=(("store/sqlite/workers.py", "            end_cancelled(db, namespace, clock, run_id)", "            pass"),),
    ),
    bug(
        "count no bytes of the results that runs end with",
        "tests/unit/engine/test_committer.py::test_a_checkpoint_of_many_bytes_of_results_leaves_further_runs_to_the_next_one",
        edits=(("engine/committer.py", "(0 if change.ending is None else size_of_ending(change.ending))", "0"),),
    ),
)
