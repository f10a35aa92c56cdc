"""A bounded pool of daemon threads: a step that hangs for ever does not keep the process from ending."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue


class DaemonThreads:
    """At most `most` threads, made when needed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[tuple[Callable[[], object], Future[object]] | None] = SimpleQueue()

    def submit(self, function: Callable[[], object]) -> "Future[object]":
        future: Future[object] = Future()
        self._work.put((function, future))
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            thread = threading.Thread(target=self._serve, name=f"perdure-step-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def close(self) -> None:
        """Threads end when what they run ends; nobody waits for them."""
        for _ in self._threads:
            self._work.put(None)

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            function, future = item
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
            del item, function, future
            self._idle.release()
