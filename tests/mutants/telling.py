"""What could be got wrong about troubles and the watchdog."""

from tests.mutants.naming import bug

TOLD = "tests/acceptance/test_trouble_is_told.py"
WATCHED = "tests/acceptance/test_watchdog.py"

TELLING = (
    bug(
        "write no trouble with a failure",
        f"{TOLD}::test_a_failed_run_is_told_once_with_its_error",
        f"{TOLD}::test_a_trouble_is_noted_in_the_transaction_that_ends_the_run",
        edits=(
            (
                "store/changes.py",
                "if state is RunState.FAILED:\n                    self.rows.trouble",
                "if False:\n                    self.rows.trouble",
            ),
        ),
    ),
    bug(
        "give a trouble to every engine that asks",
        f"{TOLD}::test_of_many_listening_workers_one_is_told_of_each",
        f"{TOLD}::test_a_worker_that_dies_before_its_callback_returns_leaves_the_trouble_to_the_next",
        edits=(("store/sqlite/troubles.py", "(namespace, run_id, now + hold)", "(namespace, run_id, now)"),),
    ),
    bug(
        "forget a trouble before it was told",
        f"{TOLD}::test_a_callback_that_fails_is_called_again_with_the_same_key_until_it_succeeds",
        edits=(
            (
                "engine/telling.py",
                "            again = self._pause_after(row.tries)\n",
                "            again = self._pause_after(row.tries)\n            again = None\n",
            ),
        ),
    ),
    bug(
        "never give a callback up that hangs",
        f"{TOLD}::test_a_callback_that_hangs_is_given_up_and_called_again",
        edits=(("engine/telling.py", "asyncio.timeout(self._settings.trouble_seconds)", "asyncio.timeout(None)"),),
    ),
    bug(
        "tell of a stranded run at every look",
        f"{TOLD}::test_f64_a_run_that_no_live_worker_knows_is_told_once_after_a_while",
        edits=(("store/sqlite/troubles.py", 'change(db, SQL["told"], same)', 'change(db, SQL["forget"], same)'),),
    ),
    bug(
        "tell of runs that were taken in time",
        "tests/unit/store/test_stranded.py::test_a_run_that_was_taken_in_time_is_not_stranded_any_more_although_its_taker_is_gone",
        edits=(("store/stranded.py", "        if workflow is None or not is_waiting or", "        if workflow is None or"),),
    ),
    bug(
        "let a damaged record keep every trouble from being told",
        f"{TOLD}::test_a_failed_run_whose_last_record_is_damaged_is_told_and_does_not_keep_others_from_being_told",
        edits=(("store/sqlite/troubles.py", "    except CorruptedHistory as damage:\n", "    except ZeroDivisionError as damage:\n"),),
    ),
    bug(
        "quarantine poison and tell nobody",
        f"{TOLD}::test_a_poisoned_run_is_told_although_no_worker_lived_to_see_it_quarantined",
        edits=(
            (
                "store/sqlite/workers.py",
                '        change(db, SQL["trouble_of_poison"], (namespace, incarnation, STRIKES_MOST, clock.now()))\n',
                "",
            ),
        ),
    ),
    bug(
        "name a blocking line again and again",
        f"{WATCHED}::test_one_line_is_named_once_and_again_only_after_a_growing_pause",
        edits=(("engine/watchdog.py", "        if now < again_at or ", "        if "),),
    ),
)
