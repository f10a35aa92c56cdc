"""The client without await has the same methods as the one with it, and behaves like it."""

import asyncio
import inspect
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent

import pytest

from perdure import Client, Engine, step, workflow
from perdure.blocking import BlockingClient, BlockingRun
from perdure.errors import NotAllowedInWorkflow, RunConflict, RunNotFound, StoreNotFound
from perdure.run import Run

ROOT = Path(__file__).resolve().parents[2]
OF_THE_INSIDE = {
    "blocking",
    "inside",
    "inside_of",
    "status_of",
    "history_of",
    "attempts_of",
    "send_signal",
    "resume_run",
    "wait_for_result",
    "wait",
}
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


def names_of_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_its_thread_ends_with_its_block_also_after_an_error(url: str) -> None:
    with Client.blocking(url):
        assert "perdure-blocking" in names_of_threads()
    assert "perdure-blocking" not in names_of_threads()
    with pytest.raises(ZeroDivisionError), Client.blocking(url):
        raise ZeroDivisionError
    assert "perdure-blocking" not in names_of_threads()


def test_it_can_be_opened_again_but_not_used_when_closed(url: str) -> None:
    client = Client.blocking(url)
    for _ in range(2):
        with client:
            assert client.runs().runs == []
        with pytest.raises(RuntimeError, match=r"not open any more: use it inside of `with Client\.blocking\(…\)`, or open\(\) it again"):
            client.runs()


def test_without_a_block_it_opens_with_the_first_call_and_is_closed_on_request(url: str) -> None:
    client = Client.blocking(url)
    assert client.run("order-1").id == "order-1"
    assert "perdure-blocking" not in names_of_threads()

    assert client.runs().runs == []
    assert "perdure-blocking" in names_of_threads()

    client.close()
    client.close()
    assert "perdure-blocking" not in names_of_threads()
    assert client.open().runs().runs == []
    client.close()
    assert client.runs().runs == []
    client.close()


def test_a_store_that_is_made_later_is_found_by_the_next_call(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    client = Client.blocking(url)
    with pytest.raises(StoreNotFound):
        client.runs()

    async def make() -> None:
        async with Engine(url, []):
            pass

    asyncio.run(make())
    assert client.runs().runs == []
    client.close()


def said_by(program: str, url: str) -> str:
    """What a process of its own prints; it must end well and complain of nothing."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", dedent(program), url],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_what_was_opened_without_a_block_is_closed_when_the_process_ends(url: str) -> None:
    said = said_by(
        """
        import sys
        from perdure import Client

        client = Client.blocking(sys.argv[1])
        print(client.start("order", number=5, id="order-1").status().state)
        """,
        url,
    )
    assert said == "pending\n"
    assert not Path(url.removeprefix("sqlite:///") + "-wal").exists()


def test_forked_processes_open_their_own_where_the_parent_has_none_open(url: str) -> None:
    said = said_by(
        """
        import os, sys
        from perdure import Client

        with Client.blocking(sys.argv[1]) as client:
            client.start("order", id="before")
        client = Client.blocking(sys.argv[1])  # as a module does that a web server loads before it forks
        client._lock.acquire()  # as a thread may that is about to ask
        children = [os.fork()]
        if children[0] != 0:
            children.append(os.fork())
        if 0 in children:
            client.start("order", id=f"of-child-{len(children)}")
            sys.exit()  # as the workers of web servers end
        client._lock.release()
        client.start("order", id="of-the-parent")
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        print(*sorted(run.id for run in client.runs().runs))
        """,
        url,
    )
    assert said == "before of-child-1 of-child-2 of-the-parent\n"


@pytest.mark.parametrize("once", ["with client:", "if client.open():"])
def test_a_store_that_is_open_while_the_process_forks_is_refused_in_the_child_and_safe_in_the_parent(url: str, once: str) -> None:
    said = said_by(
        f"""
        import os, sys
        from perdure import Client
        from perdure.errors import StoreError

        client = Client.blocking(sys.argv[1])
        {once}
            run = client.start("order", id="order-1")
            child = os.fork()
            if child == 0:
                for used in (client, Client.blocking(sys.argv[1])):
                    try:
                        used.run("order-1").signal("word", "hello")
                    except StoreError as error:
                        print(str(error).partition(" ")[2], flush=True)
            else:
                assert os.waitpid(child, 0)[1] == 0
                print(run.status().state, len(client.runs().runs))
        """,
        url,
    )
    refused, again, state = said.splitlines()
    assert refused == again
    assert "was open in the process that this one was forked from" in refused
    assert "open it only after the fork, in the child" in refused
    assert state == "pending 1"


def test_it_is_refused_where_it_would_hold_up_an_event_loop(url: str) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"use `async with Client\(…\)` and await its calls, or move this one to a thread"):
            Client.blocking(url).open()
        client = await asyncio.to_thread(Client.blocking(url).open)
        with pytest.raises(RuntimeError, match="would hold up the event loop"):
            client.runs()
        assert (await asyncio.to_thread(client.runs)).runs == []
        client.close()

    asyncio.run(main())


async def test_it_is_refused_inside_workflow_code_and_works_in_a_plain_step(url: str) -> None:
    client = Client.blocking(url)

    @step
    def ask() -> int:
        return len(client.runs().runs)

    @workflow
    async def flow() -> int:
        with pytest.raises(NotAllowedInWorkflow, match="move this into a step, which may be a `def`"):
            client.runs()
        return await ask()

    async with Engine(url, [flow]) as engine:
        assert await (await engine.start(flow)).result(30) == 1
        await asyncio.to_thread(client.close)


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
        while client._served is None or not client._served.client._watched:
            client.runs()
    thread.join(30)

    assert not thread.is_alive()
    assert "was closed while it waited for run 'order-1', which goes on" in said[0]
