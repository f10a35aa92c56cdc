"""The systemd unit of the documentation is one that systemd accepts."""

import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from perdure.cli.commands.worker import worker
from perdure.cli.main import cli
from tests.tidy.project import ROOT

UNIT = re.search(r"```ini\n(.*?)```", (ROOT / "docs/how-to/run-under-systemd.md").read_text(), re.DOTALL)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    assert UNIT
    unit = tmp_path / "orders.service"
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable} -m perdure", UNIT[1], flags=re.MULTILINE)
    unit.write_text(re.sub(r"^User=.*\n", "", text, flags=re.MULTILINE))

    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, [line for line in done.stderr.splitlines() if "orders" in line]) == (0, []), done.stderr


def test_the_unit_has_the_sections_and_the_command_that_there_are() -> None:
    assert UNIT
    unit = ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys of systemd have capitals
    unit.read_string(UNIT[1])
    assert unit.sections() == ["Unit", "Service", "Install"]
    program, command, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert (Path(program).name, command) == ("perdure", "worker")
    with cli.make_context("perdure", [command, *arguments]) as context:
        assert worker.make_context("worker", arguments, parent=context).params["apps"]


def test_the_unit_stops_workers_by_way_of_their_supervisor() -> None:
    assert UNIT
    assert "KillMode=mixed" in UNIT[1]
