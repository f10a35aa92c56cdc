"""The wheel and the archive of the source, built as for a release, and fresh environments to install them into."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.tidy.project import ROOT
from tests.versions.interpreters import OWN, candidates, minor_of

SECONDS_MOST = 110


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What a release consists of."""

    wheel: Path
    sdist: Path


def build(folder: Path, source: Path = ROOT) -> Artefacts:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=source, check=True, capture_output=True, timeout=SECONDS_MOST
    )
    return Artefacts(next(folder.glob("*.whl")), next(folder.glob("*.tar.gz")))


def plain_python(minor: str) -> str | None:
    """An interpreter of this minor; the one that runs the tests is always there."""
    if minor == OWN:
        return sys.executable
    return next((one for one in candidates(minor) if minor_of(one) == minor), None)


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with the wheel and what it asks for; nothing of the project's folder is seen from it."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "venv/bin/python")

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """In an empty folder; `perdure` is the installed command."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PERDURE", "VIRTUAL_ENV"))}
        environment = kept | {"PATH": f"{self.folder / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"}
        program, *arguments = command
        found = shutil.which(program, path=environment["PATH"]) or program
        return subprocess.run(
            [found, *arguments], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS_MOST
        )


def install(wheel: Path, python: str, folder: Path) -> Installed:
    """The wheel with its own dependencies, of the locked versions; without extras and without what the project is developed with."""
    environment = folder / "venv"
    uv(["venv", "--quiet", "--python", python, str(environment)])
    lock = ["--constraint", str(ROOT / "requirements.lock")]
    command = ["pip", "install", "--quiet", "--python", str(environment / "bin/python"), *lock, str(wheel)]
    try:
        uv([*command, "--offline"])  # what set-up has fetched is still in its cache
    except subprocess.CalledProcessError:  # put right: it is fetched now
        uv(command)
    return Installed(folder)


def uv(arguments: list[str]) -> None:
    program = shutil.which("uv") or str(ROOT / ".tools/bin/uv")
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    subprocess.run([program, *arguments], cwd=ROOT, env=environment, check=True, capture_output=True, timeout=SECONDS_MOST)
