"""`perdure check` on PostgreSQL says what it says on SQLite, for a role that may only read."""

import subprocess
import sys
from dataclasses import dataclass
from textwrap import dedent

import pytest

from tests.acceptance.test_check import FILL, Place
from tests.server import new_address, who_only_looks


@dataclass
class Shared(Place):
    """The folder with the code; the store is on the server."""

    address: str = ""

    @property
    def store(self) -> str:
        return self.address


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder, address = tmp_path_factory.mktemp("shop"), new_address()
    shared = Shared(folder, address)
    shared.change()
    (folder / "fill.py").write_text(dedent(FILL))
    filled = subprocess.run([sys.executable, "fill.py", address], cwd=folder, capture_output=True, text=True, check=False)
    assert filled.returncode == 0, filled.stderr
    shared.address = who_only_looks(address)
    return shared


def test_code_that_goes_on_with_every_run_passes_for_a_role_that_may_only_read(place: Shared) -> None:
    place.change()

    checked = place.check()

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "7 runs replayed in " in checked.stderr
    assert "all would go on" in checked.stderr


def test_the_one_run_that_would_diverge_is_named_with_the_difference(place: Shared) -> None:
    place.change(("    await charge(item)\n", '    await charge(item) if item != "book 3" else await reserve(item)\n'))

    checked = place.check("--workflow", "fulfil", "--processes", "2")

    assert checked.returncode == 1
    difference = "command 1: the history holds step 'charge' (record 3), the code now asks for 'reserve'"
    assert checked.stdout == f"diverges\torder-3\tfulfil\t{difference}\n"
    assert "5 runs replayed in " in checked.stderr
