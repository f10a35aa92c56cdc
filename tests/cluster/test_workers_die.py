"""F01 to F06, F13, F16: what the crash tests hold on one file holds on PostgreSQL: the same tests, workers and ledger, another store."""

from tests.crash.test_competition import test_b2_two_sweepers_find_the_same_dead_worker_and_each_run_goes_to_one as test_b2_two_sweepers
from tests.crash.test_competition import test_b6_two_workers_claim_from_one_file_and_no_run_twice as test_b6_no_run_is_claimed_twice
from tests.crash.test_competition import (
    test_g10_after_a_kill_the_heirs_token_is_greater_although_its_clock_was_set_back as test_g10_the_heirs_token_is_greater,
)
from tests.crash.test_crash_points import (
    passings,
)
from tests.crash.test_crash_points import (
    test_f01_b41_b62_killed_at_a_point_everything_is_done_and_nothing_twice as test_f01_killed_at_a_point_nothing_is_done_twice,
)
from tests.crash.test_exhaustion import test_f13_a_blocked_event_loop_is_no_reason_to_take_over as test_f13_a_blocked_event_loop
from tests.crash.test_random_kills import test_f02_killed_at_random_nothing_is_lost_and_nothing_done_twice as test_f02_killed_at_random
from tests.crash.test_stopping import (
    test_f05_told_to_stop_it_lets_steps_under_way_end_and_records_them as test_f05_told_to_stop_it_lets_steps_end,
)
from tests.crash.test_stopping import (
    test_f05_told_twice_it_gives_steps_up_and_hands_their_runs_over as test_f05_told_twice_it_hands_its_runs_over,
)
from tests.crash.test_stopping import (
    test_f06_b3_a_new_worker_takes_nothing_from_one_that_drains as test_f06_a_new_worker_takes_nothing_from_one_that_drains,
)
