"""An append-only file of JSON lines: each entry is one write, so that a process killed at any moment leaves whole lines behind."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class Ledger:
    """Append to a file, from any thread or process. `is_durable` waits until the disk has the entry."""

    def __init__(self, path: Path, *, is_durable: bool) -> None:
        self.path = path
        self._is_durable = is_durable
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Adds `at`, microseconds since 1970 in UTC."""
        line = json.dumps({"at": time.time_ns() // 1000, **entry}, ensure_ascii=False) + "\n"
        os.write(self._descriptor, line.encode())
        if self._is_durable:
            os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def read_ledger(path: Path) -> list[Entry]:
    """All entries; a last line without its end was never written as far as anybody was told."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
