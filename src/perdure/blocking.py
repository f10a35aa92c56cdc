"""The client without await: each call runs on an event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, Self, TypeVar

from perdure.authoring.workflow import Workflow
from perdure.client import Client
from perdure.clock import Duration
from perdure.run import Page, Run, RunRecord, RunStatus

T = TypeVar("T")


class BlockingClient:
    """`with Client.blocking(url) as client:`; the same methods as `Client`, safe to call from any thread."""

    def __init__(self, url: str, *, namespace: str = "default") -> None:
        self._client = Client(url, namespace=namespace)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # whoever has asked before the end is answered

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="perdure-blocking", daemon=True)
        self._thread.start()
        try:
            self.wait(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait(self._client.__aexit__())
        finally:
            self._stop()

    def _stop(self) -> None:
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(_end_others(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the client to its end."""
        with self._lock:
            if self._loop is None:
                work.close()
                raise RuntimeError("this client is not open: use `with Client.blocking(…)`")
            answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        return answer.result()

    def start(self, workflow: "Workflow[..., Any] | str", /, *args: Any, id: str | None = None, **kwargs: Any) -> "BlockingRun":
        return BlockingRun(self, self.wait(self._client.start(workflow, *args, id=id, **kwargs)))

    def start_input(self, workflow: str, given: Mapping[str, Any], *, id: str | None = None) -> "BlockingRun":
        return BlockingRun(self, self.wait(self._client.start_input(workflow, given, id=id)))

    def run(self, id: str) -> "BlockingRun":
        return BlockingRun(self, self._client.run(id))

    def runs(self, *, workflow: str | None = None, status: str | None = None, limit: int = 100, cursor: str | None = None) -> Page:
        return self.wait(self._client.runs(workflow=workflow, status=status, limit=limit, cursor=cursor))

    def counts(self) -> dict[str, int]:
        return self.wait(self._client.counts())


async def _end_others() -> None:
    """Calls of other threads that are under way: none waits for ever."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class BlockingRun:
    """`Run` without await."""

    def __init__(self, client: BlockingClient, run: Run) -> None:
        self.id = run.id
        self._client = client
        self._run = run

    def result(self, timeout: Duration | None = None) -> Any:
        return self._client.wait(self._run.result(timeout))

    def status(self) -> RunStatus:
        return self._client.wait(self._run.status())

    def history(self) -> list[RunRecord]:
        return self._client.wait(self._run.history())

    def signal(self, topic: str, payload: Any = None, *, key: str | None = None) -> None:
        self._client.wait(self._run.signal(topic, payload, key=key))

    def cancel(self, *, grace: Duration | None = None) -> None:
        self._client.wait(self._run.cancel(grace=grace))

    def pause(self) -> None:
        self._client.wait(self._run.pause())

    def resume(self) -> None:
        self._client.wait(self._run.resume())

    def retry(self) -> None:
        self._client.wait(self._run.retry())

    def delete(self) -> None:
        self._client.wait(self._run.delete())

    def __repr__(self) -> str:
        return f"<run {self.id}>"
