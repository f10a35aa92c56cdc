"""A systemd that is process 1, in namespaces of its own, with the wheel and an app installed as the documentation says."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

from tests.packaging.artefacts import build, uv
from tests.tidy.project import ROOT
from tests.waiting import wait_until

PYTHON = "/usr/bin/python3"  # one that the unit's user may read, too
UNIT = re.search(r"```ini\n(.*?)```", (ROOT / "docs/how-to/run-under-systemd.md").read_text(), re.DOTALL)
NEEDED = ("systemctl", "unshare", "nsenter", "chroot", "useradd", "setpriv", PYTHON)
PATIENCE_SECONDS = 60.0

APP = """
    import asyncio
    from pathlib import Path
    from perdure import receive, step, workflow

    HERE = Path("/var/lib/orders")

    def note(text: str) -> None:
        with (HERE / "noted").open("a") as noted:
            noted.write(text + chr(10))

    @step
    async def reserve(order: str) -> None:
        note("reserved " + order)

    @step
    async def ship(order: str) -> str:
        note("begins " + order)
        while not (HERE / order).exists():
            await asyncio.sleep(0.02)
        return "shipped " + order

    @workflow
    async def fulfil(order: str) -> str:
        await reserve(order)
        await receive("paid")
        return await ship(order)
"""


def why_not() -> str | None:
    """What this machine lacks for it."""
    lacking = [one for one in NEEDED if shutil.which(one) is None]
    if lacking:
        return f"{', '.join(lacking)} is not here"
    if os.geteuid() != 0:
        return "it needs the rights of root"
    if subprocess.run([PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode:
        return f"{PYTHON} is older than 3.11"
    if _unified() is None or not os.access(_unified() or "", os.W_OK):
        return "there is no unified control group that may be written"
    tried = ["unshare", "--fork", "--pid", "--mount", "--cgroup", "--net", "--uts", "--ipc", "true"]
    return None if subprocess.run(tried, check=False, capture_output=True).returncode == 0 else "nobody may make namespaces"


def _unified() -> str | None:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next((where for _, where, kind, *_ in mounts if kind == "cgroup2"), None)


class Booted:
    """Lives until `end`."""

    def __init__(self, folder: Path) -> None:
        assert UNIT
        self._cgroup = Path(_unified() or "", f"perdure-{os.getpid()}")
        self._cgroup.mkdir()
        (folder / "orders.service").write_text(UNIT[1])
        app = folder / "opt/orders"
        (app / "orders").mkdir(parents=True)
        (app / "orders/__init__.py").touch()
        (app / "orders/flows.py").write_text(dedent(APP))
        uv(["venv", "--quiet", "--relocatable", "--python", PYTHON, str(app / ".venv")])
        constraint = ["--constraint", str(ROOT / "requirements.lock")]
        wheel = build(folder / "dist").wheel
        uv(["pip", "install", "--quiet", "--python", str(app / ".venv/bin/python"), *constraint, str(wheel)])
        with (folder / "said").open("wb") as said:
            command = ["sh", str(ROOT / "tests/packaging/boot.sh"), str(folder), str(self._cgroup)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        self.until(lambda: self._systemd() and self.ask("systemctl", "is-system-running") == "running", "systemd runs")

    def _systemd(self) -> str:
        """The number outside of what is process 1 inside, once it is systemd."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        name = Path(f"/proc/{children[0]}/comm").read_text().strip() if children else ""
        return children[0] if name == "systemd" else ""

    def ask(self, *command: str) -> str:
        """What a command inside prints, whatever its status."""
        inside = ["nsenter", "-t", self._systemd(), "-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "PERDURE_STORE=sqlite:////var/lib/orders/orders.db"]
        done = subprocess.run([*inside, *clean, *command], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
        return done.stdout.strip()

    def perdure(self, *arguments: str) -> str:
        user = ["setpriv", "--reuid", "orders", "--regid", "orders", "--clear-groups"]
        return self.ask(*user, "/opt/orders/.venv/bin/perdure", *arguments)

    def state(self, name: str) -> str:
        """A property of the unit."""
        return self.ask("systemctl", "show", "orders", "-p", name, "--value")

    def workers(self) -> list[str]:
        """Process ids inside of those that said that they run, in order."""
        return re.findall(r"worker (\d+) runs fulfil", self.journal())

    def journal(self) -> str:
        return self.ask("journalctl", "-u", "orders", "--no-pager", "-o", "cat")

    def noted(self) -> list[str]:
        return self.ask("cat", "/var/lib/orders/noted").splitlines()

    def until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, what, PATIENCE_SECONDS)

    def end(self) -> None:
        systemd = self._systemd()
        os.kill(int(systemd or self._process.pid), signal.SIGKILL)
        self._process.wait(PATIENCE_SECONDS)
        self.until(lambda: not (self._cgroup / "cgroup.procs").read_text(), "all processes of the control group have ended")
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            os.rmdir(folder)
