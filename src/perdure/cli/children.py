"""A worker as a process of its own, and the line on which it reports."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from perdure.cli.reporting import parsed

_REPORT_BYTES_MOST = 16 * 1024 * 1024


class Child:
    """`perdure worker …`. It stops by itself when this process is gone; Ctrl-C reaches it through us only.

    `on_line` gets what it writes to standard output and error; without it both go where ours go.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        shows_runs: bool = False,
        on_report: Callable[[dict[str, Any]], None] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.is_ready = asyncio.Event()
        self._arguments = [*arguments, *(["--report-runs"] if shows_runs else [])]
        self._on_report = on_report
        self._on_line = on_line
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def process(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("this worker was not started")
        return self._process

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        output = None if self._on_line is None else asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "perdure", "worker", *self._arguments, "--report-to", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else asyncio.subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        finally:
            theirs.close()
        reports, self._line = await asyncio.open_connection(sock=ours, limit=_REPORT_BYTES_MOST)
        self._readers = [asyncio.create_task(self._read_reports(reports))]
        if self._process.stdout is not None:
            self._readers.append(asyncio.create_task(self._read_lines(self._process.stdout)))

    async def wait(self) -> int:
        """Its exit status, once all it has said is read; the negative number of the signal that killed it."""
        code = await self.process.wait()
        await asyncio.gather(*self._readers)
        self._line.close()
        return code

    def send_signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has ended meanwhile: whoever waits for it is told
            os.kill(self.pid, number)

    async def _read_reports(self, reports: asyncio.StreamReader) -> None:
        while line := await reports.readline():
            document = parsed(line)
            if document.get("ready"):
                self.is_ready.set()
            elif self._on_report is not None:
                self._on_report(document)

    async def _read_lines(self, output: asyncio.StreamReader) -> None:
        while line := await output.readline():
            if self._on_line is not None:
                self._on_line(line.decode(errors="replace").rstrip("\n"))


def ended_how(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
