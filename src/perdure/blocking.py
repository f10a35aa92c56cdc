"""The client without await: each call runs on an event loop in a thread of its own."""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, Generic, Self, TypeVar, overload
from weakref import WeakSet

from perdure.authoring.current import current_host
from perdure.authoring.workflow import Workflow
from perdure.client import Client
from perdure.clock import Duration
from perdure.errors import BadInput, NotAllowedInWorkflow
from perdure.run import Page, R, Run, RunRecord, RunStatus
from perdure.store.callers.choosing import caller_of
from perdure.store.inside import Inside
from perdure.store.opening import is_postgresql

T = TypeVar("T")


class BlockingClient:
    """`with Client.blocking(url) as client:`; the same methods as `Client`, safe to call from any thread.

    Without a block it opens with the first call and is closed when the process ends: for a module that a web server imports. A process
    that is forked from this one opens its own with its first call.
    """

    def __init__(self, url: str, *, namespace: str = "default") -> None:
        self._url = url
        self._namespace = namespace
        self._served: Serving | None = None
        self._block_has_ended = False
        self._lock = threading.Lock()  # whoever has asked before the end is answered
        _clients.add(self)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._block_has_ended = True
        self.close()

    def open(self) -> Self:
        """Now, and not with the first call. Raises StoreNotFound where there is no store."""
        refuse_event_loop()
        with self._lock:
            self._block_has_ended = False
            self._serving()
        return self

    def close(self) -> None:
        """Until the next call. Whoever still waits for a result gets a RuntimeError. A repeat does nothing."""
        with self._lock:
            served, self._served = self._served, None
        if served is not None:
            atexit.unregister(self.close)
            served.close()

    def wait(self, ask: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Let the client do something, to the end."""
        refuse_event_loop()
        with self._lock:
            if self._block_has_ended:
                raise RuntimeError("this client is not open any more: use it inside of `with Client.blocking(…)`, or open() it again")
            serving = self._serving()
            answer = serving.begin(ask(serving.client))
        try:
            return answer.result()
        finally:
            answer.cancel()  # where an interrupt ended the wait; what was written stays written

    def inside(self, transaction: Any, ask: Callable[[Client, Inside], Coroutine[Any, Any, T]]) -> T:
        """Let a client do something in a transaction of the caller, whose connection is used in this thread and in no other.

        On SQLite no store is opened for it. Raises BadInput for a connection that waits on an event loop.
        """
        refuse_event_loop()
        caller = caller_of(transaction)
        if caller.is_async:
            raise BadInput(f"transaction= was given {caller.named} but this client blocks; nothing was written: use `async with Client(…)`")
        client = Client(self._url, namespace=self._namespace)
        if is_postgresql(self._url):
            inside = self.wait(lambda served: served.inside_of(caller))
        else:
            inside = at_once(client.inside_of(caller))
        return at_once(ask(client, inside))

    def _serving(self) -> "Serving":
        if self._served is None:
            self._served = Serving(Client(self._url, namespace=self._namespace))
            atexit.register(self.close)
        return self._served

    @overload
    def start(
        self, workflow: "Workflow[..., T]", /, *args: Any, id: str | None = None, transaction: Any = None, **kwargs: Any
    ) -> "BlockingRun[T]": ...
    @overload
    def start(self, workflow: str, /, *args: Any, id: str | None = None, transaction: Any = None, **kwargs: Any) -> "BlockingRun": ...
    def start(
        self, workflow: "Workflow[..., Any] | str", /, *args: Any, id: str | None = None, transaction: Any = None, **kwargs: Any
    ) -> "BlockingRun":
        if transaction is None:
            run = self.wait(lambda client: client.start(workflow, *args, id=id, **kwargs))
        else:
            run = self.inside(transaction, lambda client, inside: client.start(workflow, *args, id=id, transaction=inside, **kwargs))
        return BlockingRun(self, run.id, None if isinstance(workflow, str) else workflow)

    def start_input(self, workflow: str, given: Mapping[str, Any], *, id: str | None = None) -> "BlockingRun":
        return BlockingRun(self, self.wait(lambda client: client.start_input(workflow, given, id=id)).id)

    def run(self, id: str) -> "BlockingRun":
        return BlockingRun(self, id)

    def runs(self, *, workflow: str | None = None, status: str | None = None, limit: int = 100, cursor: str | None = None) -> Page:
        return self.wait(lambda client: client.runs(workflow=workflow, status=status, limit=limit, cursor=cursor))

    def counts(self) -> dict[str, int]:
        return self.wait(lambda client: client.counts())


class Serving:
    """A client that is open, on an event loop in a thread of its own."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="perdure-blocking", daemon=True)
        self._thread.start()
        try:
            self.begin(client.open()).result()
        except BaseException:
            self._stop()
            raise

    def begin(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        try:
            self.begin(self.client.close()).result()
        finally:
            self._stop()

    def _stop(self) -> None:
        self.begin(_end_others()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing: without an event loop, in this thread."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("a transaction of the caller was waited for on an event loop, where there is none")


async def _end_others() -> None:
    """Calls of other threads that are under way: none waits for ever."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def refuse_event_loop() -> None:
    """Raises where a wait would hold up an event loop: what is waited for may itself need that loop, and never come."""
    if current_host() is not None:
        raise NotAllowedInWorkflow(
            "Client.blocking(…) waits for the store inside workflow code; move this into a step, which may be a `def`"
        )
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "Client.blocking(…) would hold up the event loop that runs in this thread: use `async with Client(…)` and await its calls, "
            "or move this one to a thread: `await asyncio.to_thread(…)`"
        )


_clients: "WeakSet[BlockingClient]" = WeakSet()
_of_the_parent: list[object] = []
"""What a fork has copied and nobody may use or close here: the thread is missing, and the connections are those of the other process."""


def _forget_the_parents() -> None:
    for client in list(_clients):
        _of_the_parent.append(client._served)
        client._served = None
        client._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents)


class BlockingRun(Generic[R]):
    """`Run` without await."""

    def __init__(self, client: BlockingClient, id: str, workflow: "Workflow[..., Any] | None" = None) -> None:
        self.id = id
        self._client = client
        self._workflow = workflow

    def _wait(self, ask: Callable[[Run[R]], Coroutine[Any, Any, T]]) -> T:
        return self._client.wait(lambda client: ask(Run(client, self.id, self._workflow)))

    def result(self, timeout: Duration | None = None) -> R:
        return self._wait(lambda run: run.result(timeout))

    def status(self) -> RunStatus:
        return self._wait(lambda run: run.status())

    def history(self) -> list[RunRecord]:
        return self._wait(lambda run: run.history())

    def signal(self, topic: str, payload: Any = None, *, key: str | None = None, transaction: Any = None) -> None:
        if transaction is None:
            self._wait(lambda run: run.signal(topic, payload, key=key))
        else:
            self._client.inside(transaction, lambda client, inside: client.send_signal(self.id, topic, payload, key, inside))

    def cancel(self, *, grace: Duration | None = None) -> None:
        self._wait(lambda run: run.cancel(grace=grace))

    def pause(self) -> None:
        self._wait(lambda run: run.pause())

    def resume(self) -> None:
        self._wait(lambda run: run.resume())

    def retry(self) -> None:
        self._wait(lambda run: run.retry())

    def delete(self) -> None:
        self._wait(lambda run: run.delete())

    def __repr__(self) -> str:
        return f"<run {self.id}>"
