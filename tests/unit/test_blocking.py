"""The client without await has the same methods as the one with it, and behaves like it."""

import asyncio
import inspect
import threading
from pathlib import Path
from typing import Any

import pytest

from perdure import Client, Engine
from perdure.blocking import BlockingClient, BlockingRun
from perdure.errors import RunConflict, RunNotFound
from perdure.run import Run

OF_THE_INSIDE = {"blocking", "status_of", "history_of", "attempts_of", "send_signal", "resume_run", "wait_for_result", "wait"}
"""What handles on runs call, and what makes the one from the other."""


def methods(kind: type) -> dict[str, list[str]]:
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: list(inspect.signature(method).parameters) for name, method in found if name[0] != "_" and name not in OF_THE_INSIDE}


@pytest.mark.parametrize(("blocking", "awaited"), [(BlockingClient, Client), (BlockingRun, Run)], ids=["client", "run"])
def test_it_has_every_method_with_the_same_parameters(blocking: type, awaited: type) -> None:
    assert methods(blocking) == methods(awaited)
    assert not [name for name, method in inspect.getmembers(blocking, inspect.iscoroutinefunction) if name[0] != "_"]


@pytest.fixture
async def url(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path}/store.db"
    async with Engine(address, []):
        return address


def test_calls_and_their_errors_come_back_to_the_caller(url: str) -> None:
    with Client.blocking(url) as client:
        run = client.start("order", number=5, id="order-1")
        assert (run.id, run.status().state, run.history()) == ("order-1", "pending", [])
        with pytest.raises(RunConflict):
            client.start("order", number=6, id="order-1")
        with pytest.raises(RunNotFound):
            client.run("nobody").result()
        with pytest.raises(TimeoutError, match="it goes on, ask again"):
            run.result(0.01)
        run.signal("word", "hello", key="a")
        assert client.start_input("order", {"number": 5}, id="order-1").id == "order-1"
        assert [one.id for one in client.runs().runs] == ["order-1"]
        assert repr(run) == "<run order-1>"


def test_its_thread_ends_with_its_block_also_after_an_error(url: str) -> None:
    before = threading.active_count()
    with Client.blocking(url):
        assert threading.active_count() > before
    with pytest.raises(ZeroDivisionError), Client.blocking(url):
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_it_can_be_opened_again_but_not_used_when_closed(url: str) -> None:
    client = Client.blocking(url)
    for _ in range(2):
        with client:
            assert client.runs().runs == []
        with pytest.raises(RuntimeError, match="not open"):
            client.runs()


def test_it_works_inside_a_running_event_loop_of_somebody_else(url: str) -> None:
    async def main() -> list[Any]:
        with Client.blocking(url) as client:
            return client.runs().runs

    assert asyncio.run(main()) == []


def test_a_thread_that_waits_for_a_result_ends_when_the_client_is_closed(url: str) -> None:
    said: list[str] = []

    def wait(client: BlockingClient) -> None:
        try:
            client.run("order-1").result()
        except RuntimeError as error:
            said.append(str(error))

    with Client.blocking(url) as client:
        client.start("order", number=5, id="order-1")
        thread = threading.Thread(target=wait, args=(client,), daemon=True)
        thread.start()
        while not client._client._watched:
            client.runs()
    thread.join(10)

    assert not thread.is_alive()
    assert "was closed while it waited for run 'order-1', which goes on" in said[0]
