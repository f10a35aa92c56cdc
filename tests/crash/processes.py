"""The supervisor's side: processes that are started, killed, stopped and waited for."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self, TypeVar

from perdure.clock import HostClock, Instant
from tests.crash.options import Options
from tests.waiting import PATIENCE_SECONDS, wait_until

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]


class Process:
    """One that was started here. `status` is its exit status, negative for a signal, None while it lives."""

    def __init__(self, pid: int, status: Callable[[], int | None], options: Options, log: Path) -> None:
        self.pid = pid
        self.options = options
        self.log = log
        self._status = status
        self.resumed_at: list[Instant] = []

    @property
    def status(self) -> int | None:
        return self._status()

    @property
    def lives(self) -> bool:
        return self.status is None

    def send(self, number: signal.Signals) -> None:
        if self.lives:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait()

    def pause(self) -> None:
        """SIGSTOP; returns when all its threads stand still."""
        self.send(signal.SIGSTOP)
        wait_until(self.is_paused, f"process {self.pid} stands still")

    def is_paused(self) -> bool:
        stat = Path(f"/proc/{self.pid}/stat")
        return not self.lives or stat.read_text().rpartition(")")[2].split()[0] == "T"

    def resume(self) -> None:
        self.resumed_at.append(HostClock().now())
        self.send(signal.SIGCONT)

    def terminate(self) -> None:
        self.send(signal.SIGTERM)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        wait_until(lambda: not self.lives, f"process {self.pid} ends", seconds, self.said)
        status = self.status
        assert status is not None
        return status

    def said(self, lines: int = 25) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"--- process {self.pid} ({self.options.role}), status {self.status}, said:\n" + "\n".join(text.splitlines()[-lines:])


class Starter(Protocol):
    def __call__(self, options: Options, log: Path) -> Process: ...


class Zygote:
    """Where processes are forked from; see tests/crash/zygote.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._statuses: dict[int, int] = {}
        self._started: list[int] = []
        self._thread = threading.Thread(target=self._listen, name="zygote", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._thread.join()
        self._process.stdout.close()

    def start(self, options: Options, log: Path) -> Process:
        assert self._process.stdin is not None
        count = len(self._started)
        self._process.stdin.write(json.dumps({"options": options.to_json(), "log": str(log)}).encode() + b"\n")
        self._process.stdin.flush()
        wait_until(lambda: len(self._started) > count, "a process is forked")
        pid = self._started[count]
        return Process(pid, lambda: self._statuses.get(pid), options, log)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "started" in message:
                self._statuses.pop(message["started"], None)
                self._started.append(message["started"])
            else:
                self._statuses[message["ended"]] = message["status"]


def start_program(options: Options, log: Path, prefix: Sequence[str] = ()) -> Process:
    """A Python of its own, behind `prefix` (strace and its arguments). Its pid is that of the prefix then."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.crash.process", options.to_json()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return Process(process.pid, process.poll, options, log)
