"""Whatever the seeds do to processes, clocks and disks, every promise holds, and everything comes to its end.

`make test` plays the same seeds on every run: a change is judged by what it does. `make torture` looks for new ones.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.scenario import Folder, simulate
from tests.simulation.swarm import swarm_of

SECONDS = float(os.environ.get("PERDURE_SIMULATION_SECONDS", "15"))
BASE = int(os.environ.get("PERDURE_SIMULATION_SEED", "4000000"))
ROOT = Path(__file__).resolve().parents[2]


def simulation(*arguments: str, hash_seed: int) -> tuple[int, str]:
    """The exit status and what was said, of a process of its own: the order of sets is fixed when Python starts."""
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout)
    return done.returncode, f"\n{done.stdout}{done.stderr}"


@pytest.mark.timeout(600)
def test_known_seeds_break_no_promise_and_show_everything_that_must_happen_sometimes() -> None:
    status, said = simulation("--corpus", "--sometimes", hash_seed=0)
    assert status == 0, said


@pytest.mark.timeout(SECONDS + 300)
def test_a_minute_of_seeds_breaks_no_promise() -> None:
    status, said = simulation("--seed", str(BASE), "--seconds", str(SECONDS), hash_seed=BASE % 1000)
    assert status == 0, said


def test_the_same_seed_happens_the_same_way_twice_and_another_one_differently() -> None:
    folder = Folder()
    first, again, other = (simulate(swarm_of(seed, runs_most=2), folder) for seed in (7, 7, 8))
    folder.close()
    assert (first.digest, first.events) == (again.digest, again.events)
    assert first.digest != other.digest
