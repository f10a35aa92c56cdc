"""What could be got wrong about transactional steps on PostgreSQL, and about transactions that callers bring."""

from tests.mutants.naming import G05, bug

STEPS = "tests/acceptance/test_postgresql_transactional_steps.py"
REFUSED = "tests/acceptance/test_transactions_refused.py"

TRANSACTING = (
    bug(
        "commit a transactional step on PostgreSQL before its record",
        f"{G05}::test_an_unknown_commit_neither_loses_nor_doubles_what_it_wrote[postgresql-before]",
        edits=(
            (
                "store/postgresql/step_transactions.py",
                "            done = await writing.write_enclosed(self._connection.statements, seen)\n"
                "            await connections.committed(self._connection.commit)\n",
                "            await self._connection.commit()\n"
                "            done = await connections.transact(lambda db: writing.write_enclosed(db, seen))\n",
            ),
        ),
    ),
    bug(
        "count an attempt that the database has undone",
        f"{STEPS}::test_what_the_database_asks_to_begin_anew_is_no_failure_of_the_step[postgresql-40001]",
        edits=(
            (
                "store/postgresql/step_transactions.py",
                "            if self._connection.is_lost or begins_anew(error):",
                "            if self._connection.is_lost:",
            ),
        ),
    ),
    bug(
        "record a step that has ended its transaction",
        f"{STEPS}::test_one_that_has_ended_its_transaction_after_all_fails_for_good[postgresql]",
        edits=(("store/postgresql/step_transactions.py", "        if began_at != self._began_at:", "        if began_at is None:"),),
    ),
    bug(
        "lock the row of a run until the caller commits his signal",
        f"{REFUSED}::test_on_postgresql_a_signal_in_a_long_transaction_stalls_nobody[postgresql]",
        edits=(
            (
                "store/postgresql/inside.py",
                "limit, self._keys_kept, wakes=False)",
                "limit, self._keys_kept, wakes=True)",
            ),
        ),
    ),
    bug(
        "write into a connection that commits every statement",
        f"{REFUSED}::test_on_postgresql_a_connection_that_commits_every_statement_is_refused[postgresql]",
        edits=(("store/postgresql/inside.py", "        if still != began_at:", "        if still is None:"),),
    ),
    bug(
        "write into another database that has the same tables",
        f"{REFUSED}::test_on_postgresql_another_database_is_refused[postgresql]",
        edits=(("store/postgresql/inside.py", "        if tuple(identity) != self._identity:", "        if not identity:"),),
    ),
    bug(
        "use Python's own sqlite3 beside an open store",
        f"{REFUSED}::test_pythons_own_sqlite3_is_refused_where_the_store_is_open[sqlite]",
        edits=(("store/sqlite/inside.py", "            refuse_beside_pythons(self._database.path)\n", ""),),
    ),
    bug(
        "open a store beside a connection of Python's own sqlite3",
        f"{REFUSED}::test_a_store_is_not_opened_beside_a_connection_of_pythons_own_that_was_brought[sqlite]",
        edits=(("store/sqlite/database.py", "        refuse_after_pythons(self.path)\n", ""),),
    ),
)
