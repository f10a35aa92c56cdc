"""Where the golden histories lie, and the sums that say that none was changed or lost."""

import hashlib
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parent
CHECKSUMS = FOLDER / "checksums.txt"


def release() -> str:
    """Of the code that stands here."""
    return str(tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())["project"]["version"])


def golden_files() -> list[Path]:
    """`RELEASE/PYTHON/SCENARIO.json`."""
    return sorted(FOLDER.glob("*/*/*.json"))


def checksum_of(path: Path) -> str:
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(FOLDER).as_posix()}"


def known_checksums() -> list[str]:
    return CHECKSUMS.read_text().splitlines() if CHECKSUMS.exists() else []


def write_checksums() -> None:
    """Lines are added, none is replaced."""
    known = known_checksums()
    names = {line.split("  ", 1)[1] for line in known}
    added = [checksum_of(path) for path in golden_files() if path.relative_to(FOLDER).as_posix() not in names]
    CHECKSUMS.write_text("".join(f"{line}\n" for line in [*known, *added]))
