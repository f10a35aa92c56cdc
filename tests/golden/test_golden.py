"""Whatever a release has recorded replays for ever: each golden history on the current code, on every Python."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from perdure.codec.exports import read_export, write_export
from perdure.model.records import RecordKind
from perdure.runtime.replaying import replay
from tests.golden import workflows
from tests.golden.files import FOLDER, checksum_of, golden_files, known_checksums, release
from tests.golden.replay import differences_of
from tests.golden.scenarios import SCENARIOS
from tests.versions.interpreters import MINORS, OWN, ROOT, SECONDS_MOST, interpreter

HOW = "add a scenario to tests/golden/scenarios.py and run `python -m tests.golden.record`"
ENDS_AN_EARLIER_GENERATION = {RecordKind.CONTINUED}  # what is exported is the last one


def name_of(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


@pytest.mark.parametrize("path", golden_files(), ids=name_of)
def test_what_a_release_has_recorded_replays_to_the_same_end(path: Path) -> None:
    assert differences_of(path, {}) == []


@pytest.mark.parametrize("minor", [one for one in MINORS if one != OWN])
def test_what_any_python_has_recorded_replays_on_each_other(minor: str) -> None:
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"Python {minor} is not installed here, or its environment could not be made")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [python, "-W", "error", "-m", "tests.golden.replay"]
    child = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS_MOST, check=False)
    assert child.returncode == 0, child.stderr
    found = json.loads(child.stdout)
    assert len(found) == len(golden_files())
    assert {name: told for name, told in found.items() if told} == {}


@pytest.mark.parametrize("path", golden_files(), ids=name_of)
def test_the_format_is_still_written_as_it_was_read(path: Path) -> None:
    content = path.read_bytes()
    assert write_export(read_export(content)) == content


def test_no_golden_history_was_changed_or_lost() -> None:
    assert [checksum_of(path) for path in golden_files()] == sorted(known_checksums(), key=lambda line: line.split("  ", 1)[1])


def test_every_scenario_was_recorded_by_some_release_on_each_python() -> None:
    for minor in MINORS:
        kept = {path.stem for path in golden_files() if path.parent.name == minor}
        assert not set(SCENARIOS) - kept, f"Python {minor}: {HOW}"


def test_every_kind_of_record_that_is_written_is_in_some_golden_history() -> None:
    kinds = {record.kind for path in golden_files() for record in read_export(path.read_bytes()).records}
    missing = sorted(set(RecordKind) - kinds - ENDS_AN_EARLIER_GENERATION)
    assert not missing, f"no golden history has {missing}: {HOW}"
    assert not kinds & ENDS_AN_EARLIER_GENERATION


def test_this_release_has_recorded_histories_of_every_state_that_a_run_can_be_kept_in() -> None:
    states = {read_export(path.read_bytes()).state.value for path in golden_files()}
    assert states >= {"waiting", "paused", "completed", "failed", "cancelled"}
    assert (FOLDER / release()).is_dir()


def test_a_golden_history_would_notice_a_difference() -> None:
    history = read_export(next(path for path in golden_files() if path.stem == "flows").read_bytes())
    assert replay(workflows.coordinates, history).difference is not None
