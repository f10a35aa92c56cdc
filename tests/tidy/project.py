"""The files of this project, as the tidy tests read them."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE_BY_TOOLS = {".git", ".tools", "__pycache__", "dist", "build", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".hypothesis"}


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file; `path` is relative to the project's folder, with slashes."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return parsed(self.text, self.path)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@cache
def parsed(text: str, path: str) -> ast.Module:
    return ast.parse(text, path)


@cache
def file_names() -> tuple[str, ...]:
    """Every file that is, or would be, committed; in an unpacked archive every file that no tool made."""
    listing = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        answer = subprocess.run(listing, capture_output=True, check=True, text=True).stdout
        names = [name for name in answer.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        names = [path.as_posix() for path in found if not MADE_BY_TOOLS & set(path.parts) and not path.parts[0].startswith(".venv")]
    return tuple(sorted(name for name in set(names) if (ROOT / name).is_file()))


def python_files(*folders: str) -> Iterator[Source]:
    for name in file_names():
        if name.endswith(".py") and name.startswith(folders):
            yield Source(name, (ROOT / name).read_text())


def text_files(*endings: str) -> Iterator[tuple[str, str]]:
    """Names and texts of all files that are text, or of those with one of these endings."""
    for name in file_names():
        if name.endswith(endings or ""):
            content = (ROOT / name).read_bytes()
            if b"\0" not in content:
                yield name, content.decode(errors="replace")
