"""A shell with a terminal, as a reader of the tutorial has it: commands go in, and what is shown is read until it is there."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

SECONDS_MOST = 60.0
ROWS, COLUMNS = 50, 140
LOOP = 'while IFS= read -r -u "$FROM" -d "" block; do eval "$block" </dev/null; echo "$AFTER_BLOCK"; done'
AFTER_BLOCK = "-- the block has ended --"


class Terminal:
    """One shell in one folder. Jobs that it has put into the background go on from block to block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.shown = ""

    def __enter__(self) -> Self:
        self._screen, screen = pty.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        commands, self._commands = os.pipe()
        self._shell = subprocess.Popen(
            ["bash", "--norc", "-c", LOOP],
            cwd=self._folder,
            env=_environment() | {"FROM": str(commands), "AFTER_BLOCK": AFTER_BLOCK},
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=screen,
            pass_fds=[commands],
            start_new_session=True,
        )
        os.close(screen)
        os.close(commands)
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        os.close(self._commands)
        os.close(self._screen)

    def run(self, block: str, *, forgets: bool = True) -> None:
        """Carry out some lines, and return when the last of them has ended; it `forgets` what was shown before."""
        self.shown = "" if forgets else self.shown
        os.write(self._commands, block.encode() + b"\0")
        self.read_until(lambda shown: AFTER_BLOCK in shown)
        self.shown = self.shown.replace(f"{AFTER_BLOCK}\n", "")

    def repeat_until(self, block: str, is_there: Callable[[str], bool]) -> None:
        """Carry out lines that only look, until they show it or the time is over."""
        deadline = time.monotonic() + SECONDS_MOST
        while not is_there(self.shown) and time.monotonic() < deadline:
            self.run(block)

    @property
    def lines(self) -> list[str]:
        """What the programs have shown, without what the shell says of those that were killed."""
        return [line for line in self.shown.splitlines() if not line.startswith("bash: line")]

    def read_until(self, is_there: Callable[[str], bool]) -> bool:
        """False if it does not come in time."""
        deadline = time.monotonic() + SECONDS_MOST
        while not is_there(self.shown):
            readable, _, _ = select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                return False
            self.shown += os.read(self._screen, 65536).decode(errors="replace").replace("\r\n", "\n")
        return True


def missing(wanted: str, shown: str) -> list[str]:
    """Those of the lines that are not shown, in this order. `…` stands for anything, a space for any number of them."""
    found, at = [], 0
    for line in wanted.splitlines():
        match = pattern(line).search(shown, at)
        if match is None:
            found.append(line)
        else:
            at = match.end()
    return found


def pattern(line: str) -> re.Pattern[str]:
    parts = [r"\s+".join(re.escape(word) for word in part.split()) for part in line.split("…")]
    return re.compile(r"[^\n]*".join(parts))


def _environment() -> dict[str, str]:
    """That of a newcomer: perdure and its Python come first, and nothing of the tests around it is seen."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PERDURE", "PYTHON"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1", "TERM": "dumb"}
