"""Starts the programs of docs/how-to/embed.md under their real servers, in a folder of their own, and talks to them over HTTP."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from perdure import Client
from perdure.blocking import BlockingClient

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "embed.md"
SECONDS_MOST = 60
LOOKS_EVERY_SECONDS = 0.01
TITLED = re.compile(r'^```python title="(?P<title>[^"]+)"\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


def programs() -> dict[str, str]:
    """Each titled block of the page."""
    return {block["title"]: block["code"] for block in TITLED.finditer(PAGE.read_text())}


class Place:
    """A folder with the page's programs in it, the store they share, and the processes that were started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        for title, code in programs().items():
            if title.endswith(".py"):
                (folder / title).write_text(code)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/shop.db"

    def start(self, *command: str, **environment: str) -> "Process":
        process = Process(self.folder, command, environment)
        self.processes.append(process)
        return process

    def worker(self, app: str = "shop.py") -> "Process":
        worker = self.start("perdure", "worker", app, "--store", "sqlite:///shop.db")
        worker.until(r"worker \d+ runs")
        return worker

    def client(self) -> BlockingClient:
        return Client.blocking(self.url)

    def end(self) -> None:
        for process in self.processes:
            process.kill()


class Process:
    """A program of this Python's own environment, and what it says, line by line."""

    def __init__(self, folder: Path, command: tuple[str, ...], environment: dict[str, str]) -> None:
        self.lines: list[str] = []
        self._said: Queue[str | None] = Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # with its children: nobody is left behind
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._said.put(line.rstrip("\n"))
        self._said.put(None)

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for a line that says this."""
        for line in self._rest():
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"it ended without saying {pattern!r}:\n" + "\n".join(self.lines))

    def _rest(self) -> Iterator[str]:
        while (line := self._said.get(timeout=SECONDS_MOST)) is not None:
            self.lines.append(line)
            yield line

    def serve(self, until: str = "") -> "Site":
        """Wait for the line with its address, then for another if need be, and until somebody listens there."""
        site = Site(self.until(r"http://127\.0\.0\.1:(?!0\b)\d+")[0])
        if until:
            self.until(until)
        site.wait_until_it_listens()
        return site

    def terminate(self) -> int:
        """SIGTERM to the process alone, as a supervisor sends it; its status, 128 + n after a signal n."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        list(self._rest())
        status = self._process.wait(SECONDS_MOST)
        return 128 - status if status < 0 else status

    def kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended, with all its children
        self._process.wait(SECONDS_MOST)
        self._listener.join(SECONDS_MOST)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Site:
    """A server's address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def wait_until_it_listens(self) -> None:
        """A process that serves what its parent has bound says that it has started shortly before it listens."""
        host, port = self.address.removeprefix("http://").split(":")
        until = time.monotonic() + SECONDS_MOST
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=SECONDS_MOST).close()
                return
            except ConnectionRefusedError:
                if time.monotonic() > until:
                    raise
                time.sleep(LOOKS_EVERY_SECONDS)

    def get(self, path: str) -> Any:
        return self._ask(Request(self.address + path))[1]

    def post(self, path: str) -> Any:
        return self._ask(Request(self.address + path, method="POST"))[1]

    def status_of(self, path: str) -> int:
        return self._ask(Request(self.address + path))[0]

    def ask(self, path: str) -> HTTPConnection:
        """Send a request whose answer somebody else waits for."""
        connection = HTTPConnection(self.address.removeprefix("http://"), timeout=SECONDS_MOST)
        connection.request("GET", path)
        return connection

    def _ask(self, request: Request) -> tuple[int, Any]:
        try:
            with urlopen(request, timeout=SECONDS_MOST) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
