"""The process that replays: reads jobs as lines of JSON, answers with lines of JSON.

User code runs here, so that nothing it does (spin, print, kill its process) reaches the command that asked.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from perdure.cli.checking.findings import Finding, Kind
from perdure.cli.checking.judging import Judge
from perdure.cli.collector import tune_collector
from perdure.cli.loading import load_workflows
from perdure.codec.exports import read_export
from perdure.errors import NotAnExport, PerdureError
from perdure.model.histories import history_of
from perdure.store.inspection import Inspection
from perdure.store.opening import open_inspection

Tell = Callable[[dict[str, Any]], None]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def main() -> None:
    """`{"app": …, "store": …, "namespace": …, "workflow": …}`, then `{"runs": [ids]}` or `{"files": [paths]}` until the input ends."""
    answers = os.dup(sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what user code prints is not an answer

    def tell(answer: dict[str, Any]) -> None:
        os.write(answers, json.dumps(answer).encode() + b"\n")  # at once: the next line of user code may end this process

    setup = json.loads(sys.stdin.readline())
    judge = Judge({one.name: one for one in load_workflows(setup["app"])}, PYTHON, setup["workflow"])
    store = None if setup["store"] is None else open_inspection(setup["store"], namespace=setup["namespace"])
    tune_collector()
    for line in sys.stdin:
        job = json.loads(line)
        try:
            for name in job:
                (replay_runs if name == "runs" else replay_files)(judge, store, job[name], tell)
            tell({"done": True})
        except PerdureError as error:
            tell({"failed": type(error).__name__, "text": str(error)})


def replay_runs(judge: Judge, store: Inspection | None, run_ids: list[str], tell: Tell) -> None:
    assert store is not None
    for run_id, loaded in store.load(run_ids).items():
        tell({"begins": run_id, "workflow": loaded.row.workflow})
        if loaded.row.state.is_final:
            continue  # it has ended since it was listed
        if loaded.damage is not None:
            answer(tell, [Finding(Kind.DAMAGED, run_id, loaded.damage, loaded.row.workflow, loaded.row.state.value)])
            continue
        answer(tell, judge.judge(history_of(loaded.row, loaded.records, loaded.attempts), run_id, loaded.row.error))


def replay_files(judge: Judge, _store: Inspection | None, paths: list[str], tell: Tell) -> None:
    for path in paths:
        tell({"begins": path, "workflow": None})
        try:
            history = read_export(Path(path).read_bytes())
        except (NotAnExport, OSError) as error:
            answer(tell, [Finding(Kind.DAMAGED, path, str(error))])
            continue
        answer(tell, judge.judge(history, path))


def answer(tell: Tell, findings: "Iterator[Finding] | list[Finding]") -> None:
    for one in findings:
        tell({"found": one.document()})


if __name__ == "__main__":
    main()
