"""What a strict type checker finds in the code of users: it accepts what is right, and names every mistake that types can show."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.tidy.project import ROOT

SAMPLES = ROOT / "tests/typing/samples"
EXPECTED = re.compile(r"# error: (?P<codes>[a-z-]+(?:, [a-z-]+)*)$")
FOUND = re.compile(r"^(?P<file>.+?):(?P<line>\d+): error: (?P<text>.*?)(?:  \[(?P<code>[a-z-]+)\])?$")

Errors = Counter[tuple[int, str]]


@pytest.fixture(scope="module")
def findings() -> dict[str, Errors]:
    """Of each sample: on which lines mypy finds what, with the project's own settings."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--no-error-summary",
        "--hide-error-context",
        "--no-pretty",
        "--cache-dir",
        f".mypy_cache/samples-{os.environ.get('PYTEST_XDIST_WORKER', '')}",  # two processes would lock each other out of one
    ]
    samples = sorted(str(path.relative_to(ROOT)) for path in SAMPLES.glob("*.py"))
    checked = subprocess.run([*command, *samples], cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert not checked.stderr, checked.stderr
    found: dict[str, Errors] = {Path(name).name: Counter() for name in samples}
    for line in checked.stdout.splitlines():
        error = FOUND.match(line)
        if error is not None:
            found[Path(error["file"]).name][int(error["line"]), error["code"] or error["text"]] += 1
    return found


def expected(sample: str) -> Errors:
    return Counter(
        (number, code)
        for number, line in enumerate((SAMPLES / sample).read_text().splitlines(), 1)
        if (marked := EXPECTED.search(line)) is not None
        for code in marked["codes"].split(", ")
    )


def test_code_that_is_right_is_accepted_with_the_types_that_its_author_expects(findings: dict[str, Errors]) -> None:
    assert findings["accepted.py"] == Counter()


def test_every_marked_mistake_is_found_and_nothing_else(findings: dict[str, Errors]) -> None:
    wanted, found = expected("refused.py"), findings["refused.py"]
    assert len(wanted) > 40
    assert sorted(found - wanted) == []
    assert sorted(wanted - found) == []
