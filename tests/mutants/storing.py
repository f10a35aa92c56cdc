"""What could be got wrong about commits, ownership, leases and suspicion."""

from tests.mutants.naming import G01, G02, G05, G09, G10, G11, G16, STARTING, bug

COMMITTING = (
    bug(
        "skip the fence",
        f"{G10}::test_the_commit_of_a_dead_incarnation_changes_nothing",
        edits=(
            (
                "store/sqlite/workers.py",
                'if change(db, SQL["pass_fence"], values) == 1:\n        return',
                'change(db, SQL["pass_fence"], values)\n    if db:\n        return',
            ),
        ),
    ),
    bug(
        "keep what a transactional step wrote before it failed",
        f"{G05}::test_nothing_is_left_of_an_attempt_that_fails_and_its_neighbours_are_not_concerned",
        edits=(("store/sqlite/calls.py", '            fetch(self._db, "rollback to perdure_call")', "            pass"),),
    ),
    bug(
        "commit a transactional step before its record",
        f"{G05}::test_an_unknown_commit_neither_loses_nor_doubles_what_it_wrote[sqlite-before]",
        edits=(
            (
                "store/sqlite/calls.py",
                '        fetch(self._db, "release perdure_call")\n',
                '        for word in ("release perdure_call", "commit", "begin immediate"):\n            fetch(self._db, word)\n',
            ),
        ),
    ),
    bug(
        "end a run over the signals that it was sent meanwhile",
        "tests/contract/test_arrivals.py::test_what_was_acknowledged_before_the_end_stands_in_the_history_before_it",
        edits=(("store/changes.py", "        if isinstance(ending, Finish) or (change.reads_inbox", "        if (change.reads_inbox"),),
    ),
    bug(
        "end a run with a page of its inbox and forget the rest",
        "tests/contract/test_arrivals.py::test_a_run_with_more_signals_than_a_page_ends_when_all_of_them_are_recorded",
        edits=(
            (
                "store/changes.py",
                "        if isinstance(ending, Finish) and (has_more or damage is not None):",
                "        if has_more is None:",
            ),
        ),
    ),
    bug(
        "acknowledge before the commit",
        f"{G01}::test_a_start_is_not_acknowledged_before_its_commit",
        f"{G01}::test_code_does_not_go_on_before_the_commit_that_holds_the_result",
        edits=(
            ("store/sqlite/transactions.py", "        self._finish(db)\n        self._check_committed()\n", ""),
            (
                "store/sqlite/transactions.py",
                "        if self._wal_pages < self._wal_pages_copied:",
                "        if self._db is not None and self._db.in_transaction:\n            self._finish(self._db)\n"
                "        if self._wal_pages < self._wal_pages_copied:",
            ),
        ),
    ),
    bug(
        "take an unknown commit for a failed one and drop the batch",
        f"{G16}::test_a_commit_that_happened_although_it_failed_is_found_and_not_repeated",
        edits=(
            (
                "engine/committer.py",
                "            except FenceLost:\n",
                "            except UnknownOutcome:\n                self._finish_soon(lambda: None)\n                return\n"
                "            except FenceLost:\n",
            ),
        ),
    ),
    bug(
        "repeat an unknown commit without asking what became of it",
        f"{G16}::test_a_commit_that_happened_although_it_failed_is_found_and_not_repeated",
        edits=(("engine/committer.py", "            self._is_in_doubt = True\n            raise", "            raise"),),
    ),
    bug(
        "repeat an unknown commit under the next number",
        f"{G16}::test_a_commit_that_happened_although_it_failed_is_found_and_not_repeated",
        edits=(
            (
                "engine/committer.py",
                "            if reached == batch.number:\n                done = await self._reconstruct(batch)\n"
                "                self._is_in_doubt = False\n                return done\n",
                "            if reached == batch.number:\n                batch = replace(batch, number=batch.number + 1)\n",
            ),
        ),
    ),
    bug(
        "go on after the disk failed to sync",
        f"{G16}::test_after_a_failed_sync_the_process_says_that_it_must_end_and_the_next_one_goes_on",
        edits=(("store/sqlite/transactions.py", "        if says_fsync_failed(error):\n", "        if False:\n"),),
    ),
    bug(
        "claim while the store does not take checkpoints",
        f"{G16}::test_a_worker_does_not_claim_while_the_store_does_not_take_its_checkpoints",
        edits=(("engine/committer.py", "                batch = replace(batch, claims=None)\n", ""),),
    ),
    bug(
        "let time in a run go back",
        f"{G09}::test_time_in_a_run_never_goes_back_although_the_clock_is_set_back",
        edits=(("store/changes.py", "        at = max(self._now, change.at)", "        at = self._now"),),
    ),
)

OWNING = (
    bug(
        "claim runs of living workers",
        f"{G02}::test_two_workers_on_one_store_run_each_step_of_each_run_once",
        f"{G10}::test_a_run_is_claimed_by_one_of_many_workers",
        edits=(
            (
                "store/sqlite/queries/claims.sql",
                "where owner is not null\n"
                "    and not exists (select 1 from workers where namespace = ?1 and incarnation = owners.owner and state = 'live');",
                "where owner is not null;",
            ),
        ),
    ),
    bug(
        "record the late result of a run that was let go",
        f"{G10}::test_the_late_result_of_a_thread_whose_run_was_given_to_another_life_is_discarded",
        edits=(
            (
                "engine/attempts.py",
                "        if attempt.is_over or not run.is_mine:\n            return\n        try:\n            self._report(",
                "        try:\n            self._report(",
            ),
            (
                "engine/attempts.py",
                '        if attempt.is_over:\n            self._ended(run, attempt, b"", None)\n            return\n        try:',
                "        try:",
            ),
            (
                "engine/committer.py",
                "            if not run.is_mine or run.is_loading or not run.has_news:",
                "            if run.is_loading or not run.has_news:",
            ),
        ),
    ),
    bug(
        "never renew the lease of an idle worker",
        f"{G10}::test_the_lease_of_a_worker_without_work_is_renewed",
        edits=(
            ("engine/lease.py", "            is_live = self._store.renew(self._incarnation, self._lease)", "            is_live = True"),
        ),
    ),
    bug(
        "take a worker for dead without asking its lease",
        f"{G10}::test_living_workers_leave_each_other_alone_however_often_they_sweep",
        edits=(("engine/deaths.py", "    return now > worker.expires_at and now > promised_until(lock)", "    return True"),),
    ),
    bug(
        "end the search for dead workers at its first error",
        f"{G11}::test_a_failing_sweep_is_met_again_and_finds_what_the_first_one_missed",
        edits=(
            (
                "engine/lookout.py",
                '                log.warning("the sweep could not be finished: %s", error)',
                '                log.warning("the sweep could not be finished: %s", error)\n                return',
            ),
        ),
    ),
    bug(
        "claim a run as it is started for a worker that was declared dead",
        "tests/contract/test_start.py::test_a_run_is_not_claimed_for_a_worker_that_is_dead_or_unknown[sqlite-file]",
        edits=(
            (
                "store/sqlite/starts.py",
                "    if claimant is not None and checkpoint_of(db, namespace, claimant.incarnation) is None:",
                "    if claimant is None:",
            ),
        ),
    ),
    bug(
        "forget a run whose starter stopped waiting for it",
        f"{STARTING}::test_a_run_whose_starter_stopped_waiting_while_it_was_written_goes_on_at_once[sqlite-claimed as it is started]",
        edits=(
            (
                "engine/starting.py",
                "                self._committer.want_owned()\n",
                "",
            ),
        ),
    ),
    bug(
        "forget a run that waits its turn when its starter stops waiting for it",
        f"{STARTING}::test_a_run_whose_starter_stopped_waiting_while_it_was_written_goes_on_at_once[sqlite-claimed by its turn]",
        edits=(("engine/starting.py", "            self._committer.want_claims()\n            raise", "            raise"),),
    ),
    bug(
        "forget a run of whose start the reply was lost",
        f"{STARTING}::test_a_run_that_was_started_although_the_commit_failed_goes_on_at_once[sqlite]",
        edits=(
            (
                "engine/starting.py",
                "            self._committer.want_owned()  # it may be that the reply to an earlier start was lost",
                "            pass",
            ),
            (
                "engine/starting.py",
                "                self._committer.want_owned()\n",
                "",
            ),
        ),
    ),
    bug(
        "let a start take the turn of runs that wait to be claimed",
        f"{STARTING}::test_a_start_takes_neither_more_room_than_there_is_nor_the_turn_of_those_who_wait[sqlite]",
        edits=(("engine/starting.py", "if self._committer.takes_more and self._room() > 0 else None", "if run else None"),),
    ),
    bug(
        "sleep on although something was asked for while the writer began to listen",
        "tests/unit/store/test_ear.py::test_what_is_needless_by_now_is_not_waited_for",
        edits=(("store/sqlite/ear.py", "return not is_needless() and self._hears(seconds)", "return self._hears(seconds)"),),
    ),
    bug(
        "do not adopt runs that are owned but not in memory",
        f"{G11}::test_a_run_that_belongs_to_a_worker_but_is_not_in_its_memory_is_adopted",
        edits=(
            (
                "engine/ownership.py",
                "        for run_id in owned - self._live.keys() - self._loading.wanted - self._starting:",
                "        for run_id in owned - owned:",
            ),
        ),
    ),
    bug(
        "park a run that a stopping worker has kept from its next step",
        f"{G11}::test_a_clean_stop_leaves_every_run_to_others_at_once",
        f"{G11}::test_a_clean_stop_between_two_steps_hands_the_run_over_and_does_not_take_it_for_stuck",
        edits=(("engine/activation.py", " and not run.has_work and ", " and "),),
    ),
    bug(
        "take a run that a stopping worker has kept from its next step for stuck",
        f"{G11}::test_a_clean_stop_between_two_steps_hands_the_run_over_and_does_not_take_it_for_stuck",
        edits=(
            ("engine/activation.py", "        if run.has_work:\n            return", "        if False:\n            return"),
            ("runtime/replaying.py", " or execution.wanted()", ""),
        ),
    ),
)

SUSPECTING = (
    bug(
        "never quarantine a run that kills its process",
        "tests/acceptance/test_g14_poison.py::test_a_run_under_whose_code_process_after_process_dies_is_quarantined_and_says_why",
        edits=(("store/sqlite/workers.py", "STRIKES_MOST if was_alone else STRIKES_ALONE", "STRIKES_ALONE"),),
    ),
    bug(
        "quarantine a run for deaths among others",
        "tests/contract/test_suspects.py::test_deaths_among_others_make_a_suspect_but_quarantine_nothing",
        edits=(("store/sqlite/workers.py", "STRIKES_MOST if was_alone else STRIKES_ALONE", "STRIKES_MOST"),),
    ),
    bug(
        "suspect a run whose code was not executing",
        "tests/acceptance/test_g14_poison.py::test_restarts_from_outside_quarantine_nobody",
        "tests/acceptance/test_g14_poison.py::test_neighbours_of_a_poison_are_never_quarantined",
        edits=(("engine/crumbs.py", "        self._map[slot * _SLOT_BYTES] = 0", "        pass"),),
    ),
)
