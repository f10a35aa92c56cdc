"""A worker that is started anew whenever its code changes. Runs are handed over and go on where they were."""

import asyncio
import os
import signal
from collections.abc import Sequence

from perdure.cli.children import Child, ended_how
from perdure.cli.exits import Exit
from perdure.cli.live_view import View
from perdure.cli.watching import Seen, changed, complaint_of, look

LOOK_SECONDS = 0.25
LOOK_PAUSES = 20.0  # a look that took long (many files) is followed by a pause this many times as long
STOP_SECONDS = 3.0  # for steps under way, when the code has changed; then they are given up and begin anew
RESTART_SECONDS = 1.0


_NOTHING_TO_SAVE = (Exit.UNREACHABLE, Exit.DENIED)  # of a store: no code mends it


class Development:
    """One worker at a time. Neither a mistake in the code nor its death ends all: only a signal does, and a store that is of no use."""

    def __init__(self, arguments: Sequence[str], folders: Sequence[str], view: View) -> None:
        self._arguments = arguments
        self._folders = folders
        self._view = view
        self._stop_asked = asyncio.Event()
        self._has_changed = asyncio.Event()
        self._signals: list[signal.Signals] = []
        self._child: Child | None = None
        self._seen: Seen = {}
        self._has_served = False
        self._refusal: int | None = None

    async def run(self) -> int:
        """Until a signal comes, or the first worker finds that its store cannot be used; the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._received, number)
        self._seen = await asyncio.to_thread(look, self._folders)
        watching = loop.create_task(self._watch())
        try:
            while not self._stop_asked.is_set() and self._refusal is None:
                await self._live()
        finally:
            watching.cancel()
        if self._refusal is not None:
            return self._refusal
        return Exit.INTERRUPTED if signal.SIGINT in self._signals else Exit.OK

    def _received(self, number: signal.Signals) -> None:
        self._signals.append(number)
        self._stop_asked.set()
        if self._child is not None:
            self._child.send_signal(number)

    # ── one worker ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _live(self) -> None:
        """From its start to its end, and until there is a reason for the next one."""
        self._has_changed.clear()
        child = Child(self._arguments, shows_runs=True, on_report=self._view.show, on_line=self._view.line)
        await child.start()
        self._child = child
        self._view.note(f"worker {child.pid} is starting")
        ended = asyncio.create_task(child.wait())
        ready = asyncio.create_task(self._say_ready(child))
        await self._first_of(ended, self._has_changed, self._stop_asked)
        if not ended.done():
            await self._stop(child, ended)
        ready.cancel()
        self._child = None
        code = await ended
        if self._stop_asked.is_set() or self._has_changed.is_set():
            return
        if code in _NOTHING_TO_SAVE and not self._has_served:
            self._refusal = code
        elif code < 0:
            self._view.note(f"the worker {ended_how(code)}; its runs go on in the next one")
            await self._first_of(None, self._has_changed, self._stop_asked, seconds=RESTART_SECONDS)
        else:
            self._view.problem(f"the worker {ended_how(code)}; save a file to start it anew")
            await self._first_of(None, self._has_changed, self._stop_asked)

    async def _stop(self, child: Child, ended: "asyncio.Task[int]") -> None:
        """After a signal the worker has its usual time; after a change of the code it is hurried."""
        if self._stop_asked.is_set():
            return
        child.send_signal(signal.SIGTERM)
        await self._first_of(ended, self._stop_asked, seconds=STOP_SECONDS)
        if not ended.done():
            child.send_signal(signal.SIGTERM)

    async def _say_ready(self, child: Child) -> None:
        await child.is_ready.wait()
        self._has_served = True
        self._view.note(f"worker {child.pid} runs {self._arguments[0]}; Ctrl-C ends it")

    # ── the code ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch(self) -> None:
        """Code with a syntax error is told at once, and the worker that runs is left alone."""
        loop = asyncio.get_running_loop()
        complained: set[str] = set()
        while True:
            began = loop.time()
            now = await asyncio.to_thread(look, self._folders)
            paths = changed(self._seen, now)
            self._seen = now
            if paths:
                complained = {path for path in {*complained, *paths} if path in now}
                self._changed(paths, complaint_of(sorted(complained)))
            await asyncio.sleep(max(LOOK_SECONDS, LOOK_PAUSES * (loop.time() - began)))

    def _changed(self, paths: Sequence[str], complaint: str | None) -> None:
        names = ", ".join(os.path.relpath(path) for path in paths[:3]) + (" …" if len(paths) > 3 else "")
        if complaint is not None:
            self._view.problem(f"{names} changed, but cannot be loaded; the worker keeps the code it has\n{complaint}")
        else:
            self._view.note(f"{names} changed: the runs are handed over to a new worker")
            self._has_changed.set()

    async def _first_of(self, ended: "asyncio.Task[int] | None", *events: asyncio.Event, seconds: float | None = None) -> None:
        waiters: list[asyncio.Task[object]] = [asyncio.create_task(_true(event)) for event in events]
        try:
            await asyncio.wait([*waiters, *([] if ended is None else [ended])], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()


async def _true(event: asyncio.Event) -> object:
    return await event.wait()


def develop(arguments: Sequence[str], folders: Sequence[str], view: View) -> int:
    async def developed() -> int:
        return await Development(arguments, folders, view).run()

    try:
        return asyncio.run(developed())
    finally:
        view.close()
