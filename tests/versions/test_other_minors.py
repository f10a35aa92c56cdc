"""A history that one Python minor wrote replays alike on the others, or the difference is detected."""

import json
import os
import subprocess
from functools import cache
from typing import Any

import pytest

from tests.versions.interpreters import MINORS, OWN, ROOT, SECONDS_MOST, interpreter
from tests.versions.samples.catalogue import SAMPLES

DIFFERING = {sample.name for sample in SAMPLES if sample.differs_between_minors}
FIRST_TO_WAIT_IN_PLACE = "3.12"  # wait_for makes no task of its coroutine any more


def run_child(minor: str, *arguments: str, given: str = "") -> Any:
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"Python {minor} is not installed here, or its environment could not be made")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    child = subprocess.run(
        [python, "-W", "error", "-m", "tests.versions.child", *arguments],
        cwd=ROOT,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=SECONDS_MOST,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@cache
def recorded(minor: str) -> list[dict[str, Any]]:
    recordings: list[dict[str, Any]] = run_child(minor, "record")
    return recordings


@cache
def replayed(there: str, here: str) -> list[dict[str, Any]]:
    verdicts: list[dict[str, Any]] = run_child(here, "replay", given=json.dumps(recorded(there)))
    return verdicts


@pytest.mark.parametrize("here", MINORS)
@pytest.mark.parametrize("there", MINORS)
def test_what_one_minor_recorded_another_replays_alike_or_says_where_it_differs(there: str, here: str) -> None:
    verdicts = replayed(there, here)
    assert len({verdict["sample"] for verdict in verdicts}) >= len(SAMPLES) - 1
    for verdict in verdicts:
        allowed = {"same", "detected"} if verdict["sample"] in DIFFERING and there != here else {"same"}
        assert verdict["is"] in allowed, verdict


@pytest.mark.parametrize("there", MINORS)
def test_the_known_difference_of_wait_for_is_detected_with_both_orders_told(there: str) -> None:
    here = next(minor for minor in ("3.12", "3.11") if is_new(minor) != is_new(there))
    found = [verdict for verdict in replayed(there, here) if verdict["sample"] in DIFFERING]
    assert found
    for verdict in found:
        assert verdict["is"] == "detected", verdict
        assert "the code now asks for" in verdict["why"] or "in another order" in verdict["why"]


def is_new(minor: str) -> bool:
    return minor >= FIRST_TO_WAIT_IN_PLACE


def test_the_minor_that_runs_the_tests_is_in_the_matrix() -> None:
    assert interpreter(OWN) is not None
