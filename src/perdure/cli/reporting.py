"""The line from a worker to the process that started it: that it is ready, and what it runs. Where it breaks, nobody is there any more."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from perdure.cli.output import json_text
from perdure.cli.snapshots import snapshot

if TYPE_CHECKING:
    from perdure.engine.service import Engine

log = logging.getLogger("perdure.worker")
_REPORT_SECONDS = 0.3
_PAUSES_PER_REPORT = 20.0  # a report that took long (many runs) is followed by a pause this many times as long


class Reports:
    """The worker's end. `shows_runs`: tell again and again what runs, not only that it is ready."""

    def __init__(self, descriptor: int, *, shows_runs: bool) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._shows_runs = shows_runs
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, engine: "Engine", *, on_gone: Callable[[str], None]) -> None:
        self._tasks = [asyncio.create_task(self._report(engine)), asyncio.create_task(self._watch(on_gone))]

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _report(self, engine: "Engine") -> None:
        loop = asyncio.get_running_loop()
        await self._send({"ready": True})
        last: dict[str, Any] = {}
        while self._shows_runs:
            began = loop.time()
            document = await snapshot(engine)
            if document != last:
                await self._send(document)
                last = document
            await asyncio.sleep(max(_REPORT_SECONDS, _PAUSES_PER_REPORT * (loop.time() - began)))

    async def _send(self, document: dict[str, Any]) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, json_text(document).encode() + b"\n")
        except OSError as error:
            log.debug("nobody reads the reports: %s", error)  # the other task sees it, too, and asks for the end

    async def _watch(self, on_gone: Callable[[str], None]) -> None:
        """Nothing is ever sent this way: to read is to wait for the end."""
        try:
            while await asyncio.get_running_loop().sock_recv(self._socket, 1024):
                pass
        except OSError as error:
            log.debug("the line to the supervisor broke: %s", error)  # as good an end as any
        on_gone("the process that started this worker is gone")


def parsed(line: bytes) -> dict[str, Any]:
    """A report, at the other end. What is none (nobody but us writes there) is empty."""
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
