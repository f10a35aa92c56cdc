"""Names the line that holds a worker's event loop: while it does, no run goes on. Never fails a run for it."""

import asyncio
import linecache
import logging
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import perdure
from perdure.settings import Settings

log = logging.getLogger("perdure.engine")

_OURS = str(Path(perdure.__file__).parent) + "/"
_WORKFLOWS = f"{_OURS}runtime/"
_STEPS = f"{_OURS}engine/"
_STANDARD = tuple({f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib")})
_INSTALLED = tuple({f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib")})
_ASYNCIO = str(Path(asyncio.__file__).parent)
_LOOP_FUNCTIONS = frozenset({"_run_once", "run_forever", "run_until_complete", "run"})
_PLACES_MOST = 1000  # that are remembered, so that each is named once in a while only


@dataclass(frozen=True, slots=True)
class Place:
    """A line of code, whether it ran for a workflow or a step, and what it says."""

    file: str
    line: int
    function: str
    kind: str
    text: str


class Watchdog:
    """A thread that asks the event loop for a sign of life now and then. A healthy loop costs two wake-ups a second."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Settings, executing: Callable[[], str | None]) -> None:
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._settings = settings
        self._executing = executing
        self._is_stopped = threading.Event()
        self._answered = threading.Event()
        self._again_at: dict[tuple[str, int], tuple[float, float]] = {}

    def start(self) -> None:
        threading.Thread(target=self._watch, name="perdure-watchdog", daemon=True).start()

    def stop(self) -> None:
        self._is_stopped.set()

    def _watch(self) -> None:
        while not self._is_stopped.wait(self._settings.watch_seconds):
            self._answered.clear()
            try:
                self._loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:
                return  # the loop is closed, and with it the worker is over
            if not self._answered.wait(self._settings.blocked_loop_seconds):
                self._name_the_line()
                self._wait_for_the_end()

    def _name_the_line(self) -> None:
        run_id = self._executing()
        place = place_of(sys._current_frames().get(self._loop_thread))
        if place is None or self._answered.is_set() or not self._is_to_be_named(place):
            return
        log.warning(
            "%s:%d holds the event loop of this worker for more than %g s, and no other run goes on meanwhile: %r in %s%s; %s",
            place.file,
            place.line,
            self._settings.blocked_loop_seconds,
            place.text,
            place.function,
            f", {place.kind} of run {run_id}" if run_id else "",
            _REMEDIES[place.kind],
        )

    def _is_to_be_named(self, place: Place) -> bool:
        """Once per line, then after growing pauses."""
        now, key = self._loop.time(), (place.file, place.line)
        again_at, pause = self._again_at.get(key, (now, self._settings.blocked_again_seconds))
        if now < again_at or (key not in self._again_at and len(self._again_at) >= _PLACES_MOST):
            return False
        self._again_at[key] = now + pause, min(2 * pause, self._settings.blocked_again_seconds_most)
        return True

    def _wait_for_the_end(self) -> None:
        while not self._answered.wait(self._settings.watch_seconds):
            if self._is_stopped.is_set():
                return


_REMEDIES = {
    "a step": "await something that does not block, or make the step a plain `def`: it runs in a thread then",
    "the workflow": "move it into a step; workflow code only decides",
    "other code": "await something that does not block, or move it to a thread (asyncio.to_thread)",
}


def place_of(frame: FrameType | None) -> Place | None:
    """The innermost line of the user's own code; of code installed like a library, the outermost. None where only we are at work."""
    users, installed, kind = None, None, "other code"
    for one in _within_the_loop(frame):
        file = one.f_code.co_filename
        if file.startswith((_WORKFLOWS, _STEPS)):
            if kind == "other code" and (users or installed):  # what is further in than the user's code was called by it
                kind = "the workflow" if file.startswith(_WORKFLOWS) else "a step"
        elif file.startswith(_OURS):
            continue
        elif file.startswith(_INSTALLED):  # first: the standard library's folder may hold it
            installed = one if kind == "other code" else installed
        elif not file.startswith((*_STANDARD, "<frozen")):
            users = users or one
    found = users or installed
    if found is None:
        return None
    file, line = found.f_code.co_filename, found.f_lineno
    return Place(file, line, found.f_code.co_qualname, kind, linecache.getline(file, line).strip())


def _within_the_loop(frame: FrameType | None) -> Iterator[FrameType]:
    """From the innermost frame outwards, up to the event loop itself: what is further out waits for it to end."""
    while frame is not None:
        code = frame.f_code
        if code.co_name in _LOOP_FUNCTIONS and code.co_filename.startswith(_ASYNCIO):
            return
        yield frame
        frame = frame.f_back
