"""The systemd unit of the documentation is one that systemd accepts."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.project import ROOT

UNIT = re.search(r"```ini\n(.*?)```", (ROOT / "docs/how-to/run-under-systemd.md").read_text(), re.DOTALL)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed here")
    assert UNIT
    unit = tmp_path / "orders.service"
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable} -m perdure", UNIT[1], flags=re.MULTILINE)
    unit.write_text(re.sub(r"^User=.*\n", "", text, flags=re.MULTILINE))

    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, [line for line in done.stderr.splitlines() if "orders" in line]) == (0, []), done.stderr


def test_the_unit_stops_workers_by_way_of_their_supervisor() -> None:
    assert UNIT
    assert "KillMode=mixed" in UNIT[1]
