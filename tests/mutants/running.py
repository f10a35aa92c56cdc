"""What could be got wrong about waiting, replaying, trying again and refusing."""

from tests.mutants.naming import BAD, DAMAGE, G02, G03, G04, G06, G07, G09, G10, G11, G12, G13, G15, RUNS, TRIES, bug

WAITING = (
    bug(
        "ignore the inbox when a run is parked",
        f"{G11}::test_a_signal_that_comes_while_its_run_is_being_parked_wakes_it",
        edits=(
            (
                "store/changes.py",
                " else not has_more and not self._lookup.has_signals(change.run_id)",
                " else True",
            ),
            ("engine/gathered.py", "(run.reads_inbox or run.ending is not None or bool(", "(run.reads_inbox or bool("),
        ),
    ),
    bug(
        "take a signal to a run that is being parked for delivered",
        f"{G11}::test_a_signal_that_comes_before_the_worker_knows_that_its_run_is_parked_wakes_it_at_once",
        edits=(("engine/worker.py", "        return run is not None and not run.is_leaving", "        return run is not None"),),
    ),
    bug(
        "do not look for signals whose wake-up was lost",
        f"{G11}::test_a_signal_whose_wake_up_was_lost_is_found_by_the_sweep",
        edits=(("engine/sweep.py", "    missed = await store.wake_missed()", "    missed = 0"),),
    ),
    bug(
        "forget the next moment of a parked run",
        f"{G09}::test_a_timer_that_came_due_while_nobody_worked_fires_as_soon_as_a_worker_is_there",
        edits=(
            (
                "engine/activation.py",
                "            run.ending = Park(moment, waiting_for(run))",
                "            run.ending = Park(None, waiting_for(run))",
            ),
        ),
    ),
    bug(
        "record timers before signals, whenever they came",
        f"{G09}::test_a_payment_that_came_in_time_wins_although_nobody_worked_until_after_the_deadline",
        edits=(
            (
                "store/changes.py",
                "sorted(arrivals + firings, key=lambda entry: entry[:3])]",
                "firings + arrivals]",
            ),
        ),
    ),
    bug(
        "record a timer before the inbox is read up to its deadline",
        f"{G09}::test_a_payment_that_came_in_time_wins_although_many_other_signals_came_before_it",
        edits=(("store/changes.py", "[timer for timer in due if not is_full or timer.deadline <= read_up_to]", "due"),),
    ),
    bug(
        "record timers in the order they were set",
        f"{G09}::test_timers_that_came_due_while_nobody_worked_fire_in_the_order_of_their_deadlines",
        edits=(("store/changes.py", "    firings = [(timer.deadline, 2, timer.number,", "    firings = [(0, 2, timer.number,"),),
    ),
    bug(
        "round a deadline down",
        f"{G09}::test_a_deadline_between_two_microseconds_is_rounded_up",
        edits=(("clock.py", "<= noise else math.ceil(exact)", "<= noise else math.floor(exact)"),),
    ),
    bug(
        "count timeouts from the start call, not from the first claim",
        f"{G09}::test_the_time_a_run_has_queued_does_not_count_towards_its_timeouts",
        edits=(
            (
                "store/sqlite/claims.py",
                "Record(1, max(now, run.created_at), RecordKind.STARTED",
                "Record(1, run.created_at, RecordKind.STARTED",
            ),
        ),
    ),
    bug(
        "forget the key of a signal once it was received",
        f"{G07}::test_a_key_is_remembered_after_its_signal_was_received",
        edits=(
            (
                "store/sqlite/queries/signals.sql",
                "    exists (select 1 from signal_keys where namespace = ?1 and run_id = ?2 and key = ?3),",
                "    exists (select 1 from signal_keys where namespace = ?1 and run_id = ?2 and key = ?3)\n"
                "        and exists (select 1 from inbox where namespace = ?1 and run_id = ?2),",
            ),
            ("store/sqlite/queries/signals.sql", "insert into signal_keys (namespace", "insert or ignore into signal_keys (namespace"),
        ),
    ),
    bug(
        "write a note only together with something else",
        f"{RUNS}::test_a_note_is_seen_by_others_while_a_long_step_runs",
        edits=(("engine/live.py", "        return self.stands and self.execution.note != self.stored_note", "        return False"),),
    ),
    bug(
        "take what code that does not match has noted for news",
        f"{G12}::test_a_run_that_diverges_behind_its_note_leaves_memory_in_one_change_and_goes_on_when_resumed_at_once",
        edits=(("engine/live.py", "        return self.stands and self.execution.note", "        return self.execution.note"),),
    ),
    bug(
        "try a checkpoint that is not the next one again for ever",
        f"{G10}::test_a_try_that_was_given_up_and_is_committed_after_all_is_taken_for_committed",
        f"{G10}::test_a_worker_whose_store_is_elsewhere_than_it_was_told_says_so_and_begins_anew",
        edits=(("engine/committer.py", "        except (UnknownOutcome, NotNext):", "        except UnknownOutcome:"),),
    ),
    bug(
        "acknowledge the repeat of a signal that came too late",
        "tests/unit/store/test_postgresql_sending.py::test_a_repeat_of_a_signal_that_came_too_late_is_refused_and_never_acknowledged",
        edits=(("store/postgresql/signals.py", "    if not still_waits and is_known(", "    if is_known("),),
    ),
)

REPLAYING = (
    bug(
        "run a step again although its record is there",
        f"{G02}::test_a_recorded_step_is_never_started_again_however_often_its_worker_dies",
        edits=(("runtime/execution.py", "        del self.open[number]\n", ""),),
    ),
    bug(
        "reuse the numbers of commands",
        f"{G03}::test_the_key_is_the_same_for_every_try_and_another_for_every_step",
        edits=(("runtime/execution.py", "        self.issued += 1\n", "        self.issued = len(self.open)\n"),),
    ),
    bug(
        "do not compare the arguments of commands issued together",
        f"{G12}::test_the_same_steps_asked_for_in_another_order_are_told",
        edits=(("runtime/divergence.py", "    if record.digest != command.digest:", "    if False:"),),
    ),
    bug(
        "do not compare the names of steps",
        f"{G12}::test_another_step_in_the_place_of_a_recorded_one_is_told_with_both_names",
        edits=(("runtime/divergence.py", "    if command.name != record.name:", "    if False:"),),
    ),
    bug(
        "do not store how many commands were issued when a run is parked",
        f"{G12}::test_a_step_that_was_asked_for_and_cancelled_counts_although_nothing_of_it_was_recorded",
        edits=(
            (
                "engine/gathered.py",
                "if run.stands and (change.failures or change.intents or run.ending is not None):",
                "if run.stands and (change.failures or change.intents):",
            ),
        ),
    ),
    bug(
        "do not check the checksum of a record",
        f"{DAMAGE}::test_f37_a_damaged_row_quarantines_its_run_and_no_other",
        edits=(("store/rows.py", "    if record.checksum() != row[10]:", "    if False:"),),
    ),
    bug(
        "leave a run that nothing can wake as waiting",
        f"{G11}::test_a_run_that_nothing_can_ever_wake_is_quarantined_with_that_sentence",
        edits=(("engine/activation.py", "            self._quarantine(run, NonDeterminism(DEADLOCK))", "            self.park(run)"),),
    ),
)

TRYING = (
    bug(
        "write the count of failures wrong",
        f"{TRIES}::test_a_restart_neither_resets_nor_loses_the_count_and_the_next_try",
        edits=(
            (
                "engine/results.py",
                "command.digest, attempt.number, retrying.began_at, verdict.not_before",
                "command.digest, 1, retrying.began_at, verdict.not_before",
            ),
        ),
    ),
    bug(
        "begin the next try before the failure is on disk",
        f"{TRIES}::test_no_try_begins_before_the_failure_of_the_one_before_is_on_disk",
        edits=(
            (
                "engine/attempts.py",
                "            self._results.failed(run, attempt, error, is_final)\n",
                "            self._results.failed(run, attempt, error, is_final)\n"
                "            self._loop.call_soon(self.begin, run, attempt.command)\n",
            ),
        ),
    ),
    bug(
        "count give_up_after anew after a restart",
        f"{TRIES}::test_it_is_given_up_when_the_next_try_would_begin_after_give_up_after",
        edits=(
            (
                "engine/activation.py",
                "Retrying(row.failures, row.began_at, row.next_at, ",
                "Retrying(row.failures, self.ports.clock.now(), row.next_at, ",
            ),
        ),
    ),
    bug(
        "try a result again that cannot be stored",
        f"{BAD}::test_a_result_that_cannot_be_stored_fails_that_step_at_once_with_its_name",
        edits=(
            (
                "engine/attempts.py",
                "None, error, is_final=True)\n        else:\n            self._ended(run, attempt, payload, None)",
                "None, error)\n        else:\n            self._ended(run, attempt, payload, None)",
            ),
        ),
    ),
    bug(
        "give every try a key of its own",
        f"{G03}::test_the_key_is_the_same_for_every_try_and_another_for_every_step",
        edits=(
            (
                "engine/live.py",
                '{self.row.key_generation}/{attempt.command.number}"',
                '{self.row.key_generation}/{attempt.command.number}/{attempt.number}"',
            ),
        ),
    ),
    bug(
        "write the intent of a step again while it is being written",
        f"{G04}::test_its_next_try_begins_once_although_the_clock_steps_forward_while_its_intent_is_being_written",
        edits=(("engine/attempts.py", "                retrying.begins()  # once:", "                pass  # once:"),),
    ),
    bug(
        "begin an at_most_once step before its intent is on disk",
        f"{G04}::test_the_intent_is_on_disk_before_the_body_begins",
        f"{G04}::test_after_a_death_in_its_body_the_workflow_gets_step_outcome_unknown_and_the_body_is_not_run_again",
        edits=(("engine/attempts.py", "        elif command.options.at_most_once:\n", "        elif False:\n"),),
    ),
    bug(
        "run an at_most_once step again whose intent is of another life",
        f"{G04}::test_after_a_death_in_its_body_the_workflow_gets_step_outcome_unknown_and_the_body_is_not_run_again",
        edits=(("engine/activation.py", "            if intent is not None:\n", "            if False:\n"),),
    ),
)

REFUSING = (
    bug(
        "accept a second start with other input",
        f"{G06}::test_the_same_id_with_other_input_is_refused_with_both_hashes_and_nothing_changes",
        edits=(("client.py", " or started.row.input_hash != input_hash:", ":"),),
    ),
    bug(
        "let a run that has ended be resumed",
        f"{G13}::test_nothing_changes_a_completed_run",
        edits=(
            (
                "store/sqlite/requests.py",
                'raise RunEnded(f"run {run_id} has ended ({row.state}) and cannot be resumed; nothing was changed")',
                "pass",
            ),
            ("store/sqlite/queries/requests.sql", " and state in ('paused', 'quarantined');", ";"),
        ),
    ),
    bug(
        "do not limit the inbox",
        f"{G15}::test_an_inbox_that_is_full_refuses_the_next_signal_and_takes_more_once_it_was_read",
        edits=(("store/sending.py", "    if undelivered >= limit:", "    if False:"),),
    ),
)
