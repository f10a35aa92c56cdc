"""Refuses blocking calls, I/O and threads in workflow code, through the interpreter's audit events."""

import asyncio
import functools
import logging
import sys
import threading
import time
import zoneinfo
from collections.abc import Callable
from types import FrameType
from typing import ParamSpec, TypeVar

from perdure.errors import NotAllowedInWorkflow
from perdure.runtime.places import line_of

P = ParamSpec("P")
R = TypeVar("R")

REFUSED = {
    "open": "opens a file",
    "builtins.input": "waits for the keyboard",
    "os.listdir": "reads a folder",
    "os.scandir": "reads a folder",
    "os.mkdir": "makes a folder",
    "os.remove": "removes a file",
    "os.rename": "renames a file",
    "os.rmdir": "removes a folder",
    "os.truncate": "changes a file",
    "os.link": "makes a link",
    "os.symlink": "makes a link",
    "os.kill": "signals a process",
    "os.system": "runs a command",
    "os.exec": "runs a command",
    "os.fork": "forks",
    "os.forkpty": "forks",
    "os.posix_spawn": "starts a process",
    "subprocess.Popen": "starts a process",
    "socket.connect": "opens a connection",
    "socket.bind": "opens a socket",
    "socket.sendto": "sends on a socket",
    "socket.sendmsg": "sends on a socket",
    "socket.getaddrinfo": "looks up a host",
    "socket.gethostbyname": "looks up a host",
    "sqlite3.connect": "opens a database",
    "time.sleep": "blocks the worker",
    "_thread.start_new_thread": "starts a thread",
    "_thread.start_joinable_thread": "starts a thread",
}
"""Audit event -> what the line does, in words."""

_ON_BEHALF_OF = frozenset(
    {
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "importlib.metadata",
        "linecache",
        "logging",
        "logging.handlers",
        "traceback",
        "zoneinfo._common",
        "warnings",
    }
)
"""Modules whose file access replays harmlessly: imports, what is installed (pydantic asks for plugins), tracebacks, logs, time zones."""

_AUDITED_SINCE = (
    ((3, 12), threading, "_start_new_thread", "_thread.start_new_thread"),
    ((3, 13), time, "sleep", "time.sleep"),
)
"""What older interpreters do without an audit event: there the function is replaced by one that raises it."""

_installed = False


def install() -> None:
    """Once per process: audit hooks cannot be removed, and outside runs this one does nothing."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_watch)
        for since, module, name, event in _AUDITED_SINCE:
            if sys.version_info < since:
                setattr(module, name, _audited(getattr(module, name), event))
        _silence_replays()


def _audited(function: Callable[P, R], event: str) -> Callable[P, R]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        sys.audit(event, *args)
        return function(*args, **kwargs)

    return call


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    does = REFUSED.get(event)
    if does is None or getattr(asyncio._get_running_loop(), "host", None) is None:
        return
    frame: FrameType = sys._getframe(1)
    if not (_is_on_behalf(frame) or _is_time_zone(event, arguments)):
        raise NotAllowedInWorkflow(
            f"{line_of(frame)}: this {does} inside workflow code, which would happen again on every replay; move this into a step"
        )


def _is_on_behalf(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_name != "run_until_idle":
        if frame.f_globals.get("__name__") in _ON_BEHALF_OF:
            return True
        frame = frame.f_back
    return False


def _is_time_zone(event: str, arguments: tuple[object, ...]) -> bool:
    """ZoneInfo reads its file in C, on behalf of nobody."""
    return event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(zoneinfo.TZPATH)


def _silence_replays() -> None:
    """What a workflow logs in a replay was logged before, and in a closing run has not happened: such records get a level below all."""
    previous = logging.getLogRecordFactory()

    def make(*args: object, **kwargs: object) -> logging.LogRecord:
        record: logging.LogRecord = previous(*args, **kwargs)
        if getattr(asyncio._get_running_loop(), "is_silent", False):
            record.levelno = -1
        return record

    logging.setLogRecordFactory(make)
