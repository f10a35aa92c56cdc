"""Puts a planted bug into a copy of the project and says which of its tests notice."""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("src", "tests", "docs", "pyproject.toml", "README.md")
SECONDS_MOST = 300  # for the tests of one bug
TESTS_FAILED = 1  # pytest's exit code; any other says that the tests did not run


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` stands exactly once in `file`, below src/perdure."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug that somebody could make, and the tests of which at least one must fail."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    mutant: str
    caught_by: tuple[str, ...]
    seconds: float
    said: str = ""

    @property
    def is_caught(self) -> bool:
        return bool(self.caught_by)


def places_of(edit: Edit, root: Path = ROOT) -> int:
    """How often the text that an edit replaces stands in its file."""
    path = root / "src/perdure" / edit.file
    return path.read_text().count(edit.old) if path.exists() else 0


def copy_project(folder: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)


def plant(mutant: Mutant, folder: Path) -> dict[Path, str]:
    """The texts as they were before."""
    before: dict[Path, str] = {}
    for edit in mutant.edits:
        if places_of(edit, folder) != 1:
            raise ValueError(f"{mutant.name}: the text to replace must stand exactly once in {edit.file}:\n{edit.old}")
        path = folder / "src/perdure" / edit.file
        before.setdefault(path, path.read_text())
        path.write_text(path.read_text().replace(edit.old, edit.new))
    return before


def uproot(before: dict[Path, str]) -> None:
    for path, text in before.items():
        path.write_text(text)


def run_tests(tests: tuple[str, ...], folder: Path) -> tuple[int, str]:
    """Exit code and output of pytest, with the copy's own `perdure`."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=line", "--timeout=60", "--no-header", *tests]
    environment = dict(os.environ, PYTHONPATH=str(folder / "src"), PYTHONDONTWRITEBYTECODE="1")
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS_MOST, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def judge(mutant: Mutant, folder: Path) -> Verdict:
    """Plant one bug, run its tests, take it out again."""
    began = time.monotonic()
    before = plant(mutant, folder)
    try:
        code, said = run_tests(mutant.tests, folder)
    finally:
        uproot(before)
    failed = tuple(re.findall(r"^FAILED \S+::(\S+)", said, re.MULTILINE)) if code == TESTS_FAILED else ()
    return Verdict(mutant.name, failed, time.monotonic() - began, said)
