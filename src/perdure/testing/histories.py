"""Recorded histories against the code of today: golden files in tests, and each run of a test engine when its block ends."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from perdure.authoring.workflow import Workflow
from perdure.codec.exports import read_export
from perdure.errors import UnknownWorkflow
from perdure.model.histories import History
from perdure.runtime import replaying
from perdure.runtime.replaying import Verdict

T = TypeVar("T")


class ReplayDifference(AssertionError):
    """The code does not match a recorded history."""


def replay(history: bytes | str | Path, workflow: Workflow[..., Any]) -> Verdict:
    """Replay an exported history (a file's path, or its content as bytes) against the workflow. No step is run.

    Raises ReplayDifference when a run with this history could not go on with this code, or would end otherwise. Arguments of recorded
    steps that have merely changed are told in the verdict's `changed`. Make the file with `perdure run export` or `engine.export(run)`.
    """
    recorded = read_export(history if isinstance(history, bytes) else Path(history).read_bytes())
    if recorded.workflow != workflow.name:
        raise UnknownWorkflow(f"this is a history of workflow {recorded.workflow!r}, not of {workflow.name!r}")
    return check(recorded, workflow)


def check(history: History, workflow: Workflow[..., Any]) -> Verdict:
    verdict = _apart(lambda: replaying.replay(workflow, history))
    said = verdict.difference or verdict.refused or verdict.ends
    if said is not None:
        raise ReplayDifference(f"run {history.run_id} of workflow {workflow.name}, replayed against its code: {said}")
    return verdict


def _apart(function: Callable[[], T]) -> T:
    """On a thread of its own: the code of a run must not be executed inside a task of another event loop."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(function).result()
