"""Workers and clients killed and stopped at random on one store: PERDURE_KILL_SECONDS says how long, PERDURE_KILL_SEED repeats a run."""

import os
import time
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from tests.crash import checker
from tests.crash.harness import Harness
from tests.crash.options import SHORT_LEASE
from tests.crash.storm import Storm

SECONDS = float(os.environ.get("PERDURE_KILL_SECONDS", "20"))
STORM_SECONDS = 25.0  # then everything is healed and checked, and another store begins


@pytest.mark.timeout(SECONDS * 2 + 150)
def test_f02_killed_at_random_nothing_is_lost_and_nothing_done_twice(new_harness: Callable[[], Harness]) -> None:
    seed = int(os.environ.get("PERDURE_KILL_SEED", "0")) or Random().randrange(10**9)
    end = time.monotonic() + SECONDS
    struck: Counter[str] = Counter()
    while (left := end - time.monotonic()) > 1 or not struck:
        print(f"PERDURE_KILL_SEED={seed} PERDURE_KILL_SECONDS={min(left, STORM_SECONDS):.0f}", flush=True)
        harness = new_harness()
        harness.settings |= SHORT_LEASE
        storm = Storm(harness, seed)
        storm.rage(min(left, STORM_SECONDS))
        storm.heal()
        storm.struck["fenced"] = len(harness.server.of("point", point="fence.lost"))
        print(f"  {dict(storm.struck)}\n  {checker.summary(checker.gather(harness.store, harness.server.effects))}", flush=True)
        struck += storm.struck
        seed += 1
    assert struck["killed with unfinished runs"] >= SECONDS / 4
    if SECONDS >= 15:
        assert struck["client killed"]
        assert struck["stopped"]
        assert struck["fenced"]
