"""The two processes of the demo beside the supervisor: the order system, and a worker that can be killed and started again."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

_STOP_SECONDS = 15


class DemoFailed(Exception):
    """The demo itself could not go on; what it was to prove is left open."""


class OrderSystem:
    """Runs for the length of a `with` block, and not longer: it ends when its standard input closes."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._command = [sys.executable, "-m", "perdure.demo.order_system", "--folder", str(folder), "--seed", str(seed)]
        self._errors = folder / "order_system.log"

    def __enter__(self) -> Self:
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            self.__exit__()
            raise DemoFailed(f"the order system did not start: {_last_lines(self._errors)}")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


class WorkerProcess:
    """A real worker, `perdure worker`, with nothing shortened. It lives until it is killed or stopped."""

    def __init__(self, folder: Path, store: str, order_system: str) -> None:
        self._command = [sys.executable, "-m", "perdure", "worker", "perdure.demo.purchasing", "--store", store]
        self._log = folder / "worker.log"
        outbox = folder / "outbox"
        outbox.mkdir(exist_ok=True)
        self._environment = os.environ | {
            "ORDER_SYSTEM_URL": order_system,
            "OUTBOX_FOLDER": str(outbox),
            "EFFECTS_LEDGER": str(folder / "effects.jsonl"),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            # In a session of its own, so that Ctrl-C reaches the supervisor only, which then stops it.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """Raises DemoFailed when it has ended by itself."""
        if self._process is None or self._process.poll() is not None:
            status = None if self._process is None else self._process.returncode
            raise DemoFailed(f"the worker ended by itself with status {status}: {_last_lines(self._log)}")
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: it cannot be caught, nothing is flushed, nothing is said."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """SIGTERM: a clean end. Its exit status."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _last_lines(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:]) if path.exists() else "it said nothing"
