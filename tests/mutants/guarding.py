"""What could be got wrong about clocks that are set back, flipped bits, and payloads that are many and large."""

from tests.mutants.naming import G03, bug

GUARDING = (
    bug(
        "take the fencing token from the clock",
        f"{G03}::test_the_fencing_token_grows_when_a_run_changes_hands",
        edits=(("engine/worker.py", 'f"{row.fencing:020d}-', 'f"{self._ports.clock.now():020d}-'),),
    ),
    bug(
        "forget the fencing number that a claim has given",
        "tests/contract/test_claims.py::"
        "test_each_claim_of_a_run_has_a_greater_fencing_number_than_those_before_although_the_clock_is_set_back",
        edits=(("store/sqlite/queries/claims.sql", "fencing = ?6", "fencing = min(fencing, ?6)"),),
    ),
)
