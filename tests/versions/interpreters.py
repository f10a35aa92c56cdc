"""The Python minors that are installed here, each in an environment with what perdure needs, from the project's lock.

The environments are made once, under `.venvs/`. A minor that is not installed, or whose environment cannot be made (no uv, no network),
is missing from the matrix; the one that runs the tests never is.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MINORS = ("3.11", "3.12", "3.13")
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
SECONDS_MOST = 100


@cache
def interpreter(minor: str) -> str | None:
    """A Python of this minor that can import perdure; None if there is none here."""
    if minor == OWN:
        return sys.executable
    plain = next((one for one in candidates(minor) if minor_of(one) == minor), None)
    return None if plain is None else prepared(minor, plain)


def candidates(minor: str) -> list[str]:
    on_path = shutil.which(f"python{minor}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [*([on_path] if on_path else []), *(str(path) for path in sorted(pyenv.glob(f"versions/{minor}*/bin/python")))]


def minor_of(python: str) -> str | None:
    """None for what does not start, such as the shim of a version manager."""
    question = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    asked = subprocess.run(question, capture_output=True, text=True, timeout=SECONDS_MOST, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else None


def prepared(minor: str, plain: str) -> str | None:
    folder = ROOT / ".venvs" / minor
    python = folder / "bin" / "python"
    stamp, wanted = folder / "made-from", (ROOT / "requirements.lock").read_text() + plain
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    uv = shutil.which("uv") or shutil.which("uv", path=ROOT / ".tools" / "bin")
    if uv is None:
        return None
    packages = ["--requirement", "pyproject.toml", "--extra", "postgresql", "--constraint", "requirements.lock"]
    for command in (["venv", "--clear", "--python", plain, str(folder)], ["pip", "install", "--python", str(python), *packages]):
        made = subprocess.run([uv, *command], cwd=ROOT, capture_output=True, timeout=SECONDS_MOST, check=False)
        if made.returncode != 0:
            return None
    stamp.write_text(wanted)
    return str(python)
