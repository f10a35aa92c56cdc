"""From one history and the code to what there is to say about it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perdure.authoring.step import Step
from perdure.authoring.workflow import Workflow
from perdure.cli.checking.findings import Finding, Kind
from perdure.model.histories import History
from perdure.model.states import RunState
from perdure.runtime.replaying import ChangedArguments, Verdict, replay
from perdure.settings import DEFAULTS


class Judge:
    """Replays histories on one Python against the workflows of one app, or `only` one of them."""

    def __init__(self, workflows: Mapping[str, Workflow[..., Any]], python: str, only: str | None = None) -> None:
        self._workflows = workflows
        self._python = python
        self._only = only
        self._steps: dict[str, Step[..., object]] = {}

    def judge(self, history: History, where: str, quarantined_for: bytes | None = None) -> Iterator[Finding]:
        """`where` names it in what is found. `quarantined_for`: the stored reason."""

        def found(kind: Kind, text: str) -> Finding:
            return Finding(kind, where, text, history.workflow, history.state.value)

        if self._only is not None and history.workflow != self._only:
            return
        workflow = self._workflows.get(history.workflow)
        if workflow is None:
            yield found(Kind.WORKFLOW, f"workflow {history.workflow!r} is not in this app: not replayed")
            return
        if history.needs_python and history.python != self._python:
            yield found(Kind.PYTHON, f"it replays on Python {history.python} only: not replayed, run this check on that Python")
            return
        verdict = replay(workflow, history, steps=self._steps)
        yield from self._troubles(history, verdict, found)
        if verdict.is_ok and history.state is RunState.QUARANTINED and _is_divergence(quarantined_for):
            yield found(Kind.MATCHES, f"it is quarantined, and this code matches its history: deploy, then `perdure run resume {where}`")
        if not history.state.is_final and len(history.records) >= DEFAULTS.limits.history_records_warned:
            most = DEFAULTS.limits.history_records
            yield found(Kind.LENGTH, f"its history has {len(history.records):,} records; at {most:,} it is quarantined")

    def _troubles(self, history: History, verdict: Verdict, found: Any) -> Iterator[Finding]:
        if verdict.refused is not None:
            yield found(Kind.REFUSED, verdict.refused)
        if verdict.difference is not None:
            yield found(Kind.DIVERGES, verdict.difference + self._other_python(history))
        if verdict.ends is not None:
            yield found(Kind.ENDS, verdict.ends)
        for changes in _by_step(verdict.changed):
            more = f" (and {len(changes) - 1} more calls of it)" if len(changes) > 1 else ""
            yield found(Kind.CHANGED, f"{changes[0]}{more}")

    def _other_python(self, history: History) -> str:
        if history.python is None or history.python == self._python:
            return ""
        return f" (recorded on Python {history.python}, replayed on {self._python}: it would wait for a worker on {history.python})"


def _by_step(changed: Sequence[ChangedArguments]) -> Iterable[list[ChangedArguments]]:
    by_step: dict[str, list[ChangedArguments]] = {}
    for one in changed:
        by_step.setdefault(one.step, []).append(one)
    return by_step.values()


def _is_divergence(error: bytes | None) -> bool:
    return error is not None and str(json.loads(error).get("type")).endswith(".NonDeterminism")
