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
        """Raises RuntimeError where the system has no thread left: then the function is not called."""
        future: Future[object] = Future()
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            self._begin_thread()
        self._work.put((function, future))
        return future

    def _begin_thread(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"perdure-step-{len(self._threads)}", daemon=True)
        thread.start()
        self._threads.append(thread)

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
