"""Adds golden histories: `python -m tests.golden.record` keeps what this release and each Python here record of every scenario.

A file that is there stays as it is, whatever the code records today: remove nothing and rewrite nothing.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from perdure.codec.exports import write_export
from perdure.model.histories import History, history_of
from perdure.store.opening import open_inspection
from tests.acceptance.harness import Stage
from tests.golden.files import FOLDER, release, write_checksums
from tests.golden.scenarios import SCENARIOS, Scenario
from tests.versions.interpreters import MINORS, OWN, ROOT, interpreter

MACHINE = sorted({str(ROOT), sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix)}, key=len, reverse=True)


def path_of(scenario: Scenario) -> Path:
    return FOLDER / release() / OWN / f"{scenario.name}.json"


async def recorded(scenario: Scenario) -> History:
    """By a real engine on a real store, whose clock is moved along."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            engine = await stage.engine(*{one.workflow.name: one.workflow for one in SCENARIOS.values()}.values())
            run = await engine.start(scenario.workflow, *scenario.arguments, id=f"golden-{scenario.name}")
            await scenario.act(stage, engine, run)
            loaded = open_inspection(stage.url).load([run.id])[run.id]
        finally:
            await stage.close()
    assert loaded.damage is None
    return without_places(history_of(loaded.row, loaded.records, loaded.attempts))


def without_places(history: History) -> History:
    """Tracebacks name the folders of the machine; no digest is over them."""
    return replace(
        history,
        records=tuple(one._replace(error=without_place(one.error)) for one in history.records),
        attempts=tuple(replace(one, error=without_place(one.error)) for one in history.attempts),
    )


def without_place(error: bytes | None) -> bytes | None:
    for place in MACHINE:
        error = error and error.replace(f"{place}/".encode(), b"")
    return error


def record_here() -> None:
    for scenario in SCENARIOS.values():
        path = path_of(scenario)
        if path.exists():
            continue
        content = write_export(asyncio.run(recorded(scenario)))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:  # never over one that is there
            file.write(content)
        sys.stdout.write(f"recorded {path.relative_to(ROOT)}\n")


def record_everywhere() -> None:
    for minor in MINORS:
        python = interpreter(minor)
        if python is None:
            sys.stdout.write(f"Python {minor} is not here: nothing recorded for it\n")
            continue
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        subprocess.run([python, "-m", "tests.golden.record", "here"], cwd=ROOT, env=environment, check=True)
    write_checksums()


if __name__ == "__main__":
    record_here() if "here" in sys.argv[1:] else record_everywhere()
