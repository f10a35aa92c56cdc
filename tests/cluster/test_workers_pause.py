"""F03, F04: what the crash tests hold of workers that stand still on one file, on PostgreSQL."""

from tests.crash.test_pauses import _leases_are_short
from tests.crash.test_pauses import (
    test_f03_b15_stopped_in_a_step_past_its_lease_it_commits_nothing_afterwards as test_f03_stopped_in_a_step_it_commits_nothing_afterwards,
)
from tests.crash.test_pauses import (
    test_f03_declared_dead_it_commits_nothing_even_while_its_runs_are_still_its_own as test_f03_only_the_fence_stands_between,
)
from tests.crash.test_pauses import (
    test_f03_stopped_before_a_commit_it_loses_the_fence_and_begins_anew as test_f03_stopped_before_a_commit,
)
from tests.crash.test_pauses import (
    test_f03_stopped_for_less_than_its_lease_nothing_is_run_again as test_f03_stopped_for_less_than_its_lease,
)
from tests.crash.test_pauses import (
    test_f04_frozen_with_all_its_threads_it_commits_nothing_afterwards as test_f04_frozen_with_all_its_threads,
)
