"""Replays every golden history on the Python that runs it; `python -m tests.golden.replay` prints what came of each as JSON."""

import json
import sys
from pathlib import Path

from perdure.authoring.step import Step
from perdure.codec.exports import read_export
from perdure.runtime.replaying import replay
from tests.golden.files import FOLDER, golden_files
from tests.golden.scenarios import SCENARIOS

WORKFLOWS = {one.workflow.name: one.workflow for one in SCENARIOS.values()}


def differences_of(path: Path, steps: dict[str, Step[..., object]]) -> list[str]:
    """Nothing, if the code still does what was recorded, down to the result and to every argument."""
    history = read_export(path.read_bytes())
    verdict = replay(WORKFLOWS[history.workflow], history, steps=steps)
    told = [one for one in (verdict.difference, verdict.refused, verdict.ends) if one is not None]
    return told + [str(one) for one in verdict.changed]


def replay_all() -> dict[str, list[str]]:
    steps: dict[str, Step[..., object]] = {}
    return {path.relative_to(FOLDER).as_posix(): differences_of(path, steps) for path in golden_files()}


if __name__ == "__main__":
    json.dump(replay_all(), sys.stdout)
