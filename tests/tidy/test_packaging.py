"""What is built and installed is whole, and a newcomer's commands are there."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.project import ROOT, file_names

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as opened:
        yield opened


def test_the_wheel_holds_every_file_of_the_package_data_included(wheel: zipfile.ZipFile) -> None:
    expected = {name.removeprefix("src/") for name in file_names() if name.startswith("src/perdure/")}
    assert "perdure/py.typed" in expected
    assert {name for name in wheel.namelist() if name.startswith("perdure/")} == expected


def test_the_wheel_brings_the_command_the_pytest_plugin_and_the_licence(wheel: zipfile.ZipFile) -> None:
    described = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert "perdure = perdure.cli.main:main" in described["entry_points.txt"]
    assert "[pytest11]\nperdure = perdure.testing.pytest_plugin" in described["entry_points.txt"]
    assert "Copyright perdure contributors" in described["LICENSE"]


def test_the_extra_all_holds_every_other_extra() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert extras["all"] == [f"perdure[{','.join(sorted(extras.keys() - {'all'}))}]"]


def requirement_name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower()


def test_the_lock_holds_every_dependency_with_hashes_and_without_addresses() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = PROJECT["project"]["dependencies"] + extras["cli"] + extras["fast"] + PROJECT["dependency-groups"]["dev"]
    entries = re.split(r"^(?=\S)", LOCK, flags=re.MULTILINE)[1:]
    assert {requirement_name(text) for text in wanted} <= {requirement_name(entry) for entry in entries}
    assert all(re.match(r"\S+==\S+ .*--hash=sha256:", entry, re.DOTALL) for entry in entries)
    assert "://" not in LOCK
    assert "--index-url" not in LOCK
    assert "--find-links" not in LOCK


def test_every_dependency_gives_its_reason() -> None:
    block = re.search(r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert block
    assert [line for line in block[1].splitlines() if not re.search(r"#\s+\S+ \S+", line)] == []


def test_make_and_dev_know_the_same_commands() -> None:
    commands = re.search(r"^COMMANDS = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = subprocess.run(["sh", "dev", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert commands
    assert set(commands[1].split()) == {"help", *re.findall(r"^ {4}([\w-]+)", known, re.MULTILINE)}


@pytest.mark.parametrize("script", ["dev", ".ci/run"])
def test_the_scripts_can_be_executed(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"])
def test_the_pages_a_newcomer_looks_for_are_there(page: str) -> None:
    assert (ROOT / page).stat().st_size > 0
