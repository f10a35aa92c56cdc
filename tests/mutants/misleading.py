"""What could be got wrong about the tools that others test with: a tool that does not look is worse than none."""

from tests.mutants.naming import bug

TIME = "tests/acceptance/test_testing_time.py"
CRASHES = "tests/acceptance/test_testing_crashes.py"

MISLEADING = (
    bug(
        "let all that falls due in a skip happen at its end",
        f"{TIME}::test_each_timer_fires_at_its_own_time",
        edits=(("testing/harness.py", "                await self._happen(moment)\n", "                await self._happen(target)\n"),),
    ),
    bug(
        "carry out what is planned after the timers of the same moment",
        f"{TIME}::test_a_planned_signal_comes_at_its_time_and_before_a_timer_of_the_same_moment",
        edits=(
            (
                "testing/harness.py",
                "        self._virtual.move_to(moment)\n        while",
                "        self._virtual.move_to(moment)\n        self._life.loop.ring()\n        await self.settle()\n        while",
            ),
        ),
    ),
    bug(
        "replay nothing when the block of a test engine ends",
        f"{TIME}::test_a_workflow_that_does_not_replay_fails_the_test_when_its_block_ends",
        edits=(
            (
                "testing/mortal.py",
                "                if workflow is not None and one.status != RunState.QUARANTINED:",
                "                if False:",
            ),
        ),
    ),
    bug(
        "report the end of a body before virtual time has passed for it",
        f"{TIME}::test_a_fake_takes_virtual_time_and_meets_the_time_limit_of_its_step",
        edits=(("testing/doubles.py", "        if fake.takes is not None:", "        if False:"),),
    ),
    bug(
        "let a killed process commit what it was killed for",
        f"{CRASHES}::test_a_step_that_charges_twice_when_it_runs_twice_is_found",
        edits=(("testing/store.py", "                raise Killed\n", "                self._real.call_soon(self._kill)\n"),),
    ),
    bug(
        "let the steps of a killed process clean up",
        f"{CRASHES}::test_a_step_under_way_when_its_process_is_killed_stops_where_it_stands_without_cleaning_up",
        edits=(("testing/life.py", "            if self.is_dead:\n", "            if False:\n"),),
    ),
    bug(
        "kill nobody, and find every workflow sound",
        f"{CRASHES}::test_every_kill_is_a_kill",
        f"{CRASHES}::test_workflow_code_that_does_not_replay_is_found_and_told_readably",
        edits=(("testing/crashes.py", "        if self._has_killed or when != self._when:", "        if True:"),),
    ),
    bug(
        "compare what killed runs returned, but not what they did",
        f"{CRASHES}::test_workflow_code_that_acts_outside_of_a_step_is_found",
        edits=(("testing/crashes.py", "    if undisturbed.effects != killed.effects:", "    if False:"),),
    ),
    bug(
        "send signals only while the run waits",
        f"{CRASHES}::test_a_signal_is_sent_in_every_order_with_steps_and_timers",
        edits=(("testing/orders.py", "        engine.doubles.before_report = before_report", "        del before_report"),),
    ),
)
