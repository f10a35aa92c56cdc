"""perdure inside of scripts, web frameworks and notebooks: each program of docs/how-to/embed.md, under its real server."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from tests.acceptance.embedding import PAGE, Place, Site, programs


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    try:
        yield place
    finally:
        place.end()


UVICORN = ("uvicorn", "--port", "0", "--timeout-graceful-shutdown", "1")


def buys(site: Site, number: str) -> Any:
    """An order from its start to its receipt, each in a request of its own."""
    assert site.post(f"/orders/{number}") == {"run": f"order-{number}"}
    site.post(f"/orders/{number}/payments/p-1?amount=90")
    return site.get(f"/orders/{number}/receipt")


def test_every_program_of_the_page_is_started_by_a_test_here() -> None:
    files = {title for title in programs() if title.endswith(".py")}
    assert files == {"shop.py", "script.py", "app.py", "starlette_app.py", "flask_app.py", "views.py", "django_worker.py"}
    assert PAGE.read_text().count("```python") == len(programs()) + 1  # and one that opens with `run`


# ── a script ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_script_that_is_stopped_or_killed_goes_on_when_it_is_started_again(place: Place) -> None:
    stopped = place.start("script")
    stopped.until("waiting for order-A-1")
    assert stopped.terminate() == 0
    assert stopped.lines[-1] == "stopped; start it again and it goes on"

    killed = place.start("script")
    killed.until("waiting for order-A-1")
    killed.kill()
    with place.client() as client:
        client.run("order-A-1").signal("paid", 90)

    again = place.start("script")
    assert again.wait() == 0
    assert again.lines[0] == "waiting for order-A-1"
    assert again.lines[-1] == "A-1 shipped for 90"


# ── FastAPI and Starlette ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("app", ["app:app", "starlette_app:app"])
def test_a_request_starts_a_run_and_a_later_one_after_a_restart_reads_its_result(place: Place, app: str) -> None:
    server = place.start(*UVICORN, app)
    site = server.serve()
    assert buys(site, "A-1") == {"receipt": "A-1 shipped for 90"}
    site.post("/orders/A-2")
    assert server.terminate() in (0, 143)
    assert "Application shutdown complete" in server.text

    with place.client() as client:  # nobody owns it: it was handed over, and not left to be found
        assert client.run("order-A-2").status().state in ("pending", "waiting")
    site = place.start(*UVICORN, app).serve()
    site.post("/orders/A-2/payments/p-2?amount=5")
    assert site.get("/orders/A-2/receipt") == {"receipt": "A-2 shipped for 5"}
    assert site.get("/orders/A-1/receipt") == {"receipt": "A-1 shipped for 90"}


def test_a_request_that_waits_for_a_result_does_not_keep_the_server_from_ending(place: Place) -> None:
    server = place.start(*UVICORN, "app:app")
    site = server.serve()
    site.post("/orders/A-1")
    with closing(site.ask("/orders/A-1/receipt")):
        site.get("/orders/A-1")
        assert server.terminate() in (0, 143)
    assert "Cancel 1 running task(s), timeout graceful shutdown exceeded" in server.text
    assert "Application shutdown complete" in server.text


def test_what_is_not_there_is_a_404(place: Place) -> None:
    site = place.start(*UVICORN, "app:app").serve()
    assert site.status_of("/orders/nobody") == 404


def test_several_processes_of_one_server_share_the_store_and_any_of_them_answers(place: Place) -> None:
    server = place.start(*UVICORN, "--workers", "2", "app:app")
    site = server.serve()
    for _ in range(2):
        server.until("Application startup complete")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda number: buys(site, f"A-{number}"), range(12)))
    assert answers == [{"receipt": f"A-{number} shipped for 90"} for number in range(12)]
    assert server.terminate() in (0, 143)
    with place.client() as client:
        assert client.counts() == {"completed": 12}


def test_a_server_that_reloads_changed_code_goes_on_with_the_runs_that_wait(place: Place) -> None:
    server = place.start(*UVICORN, "--reload", "app:app")
    site = server.serve(until="Application startup complete")
    site.post("/orders/A-1")
    shop = place.folder / "shop.py"
    shop.write_text(shop.read_text().replace("shipped for", "sent for"))
    server.until("Application shutdown complete")
    server.until("Application startup complete")
    site.post("/orders/A-1/payments/p-1?amount=90")
    assert site.get("/orders/A-1/receipt") == {"receipt": "A-1 sent for 90"}


def test_an_application_that_only_starts_runs_holds_a_client_in_place_of_the_engine(place: Place) -> None:
    place.worker()
    app = place.folder / "app.py"
    app.write_text(
        app.read_text()
        .replace('Engine("sqlite:///shop.db", [fulfil])', 'Client("sqlite:///shop.db")')
        .replace("import Engine", "import Client")
        .replace("        engine.failure.add_done_callback(lambda _: signal.raise_signal(signal.SIGTERM))\n", "")
    )
    assert buys(place.start(*UVICORN, "app:app").serve(), "A-1") == {"receipt": "A-1 shipped for 90"}


PLAIN = """

from perdure import Client

client = Client.blocking("sqlite:///shop.db")


@app.get("/plain/{number}/receipt")
def plain(number: str) -> dict[str, str]:
    return {"receipt": client.run(f"order-{number}").result(timeout=20)}
"""


def test_a_plain_endpoint_uses_a_blocking_client_beside_the_engine_of_its_process(place: Place) -> None:
    app = place.folder / "app.py"
    app.write_text(app.read_text() + PLAIN)
    server = place.start(*UVICORN, "app:app")
    site = server.serve()
    assert buys(site, "A-1") == {"receipt": "A-1 shipped for 90"}
    assert site.get("/plain/A-1/receipt") == {"receipt": "A-1 shipped for 90"}
    assert server.terminate() in (0, 143)


# ── Flask and Django ─────────────────────────────────────────────────────────────────────────────────────────────────

SETTINGS = """
SECRET_KEY = "of this test"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "urls"
WSGI_APPLICATION = "wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
"""
URLS = """
import asyncio
from django.http import JsonResponse
from django.urls import path
import views

async def awaits(request, number):
    run = await asyncio.to_thread(views.client.start, views.fulfil, number, id=f"order-{number}")
    return JsonResponse({"run": run.id})

async def blocks(request, number):
    try:
        views.client.runs()
    except RuntimeError as error:
        return JsonResponse({"error": str(error)})

urlpatterns = [
    path("awaits/<number>", awaits),
    path("blocks/<number>", blocks),
    path("orders/<number>", views.order),
    path("orders/<number>/payments/<payment>", views.pay),
    path("orders/<number>/receipt", views.receipt),
]
"""
WSGI = """
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
import views  # with --preload: before the fork
"""


@pytest.fixture
def project(place: Place) -> Place:
    """A Django project around the views of the page."""
    for name, code in (("settings.py", SETTINGS), ("urls.py", URLS), ("wsgi.py", WSGI)):
        (place.folder / name).write_text(code)
    return place


GUNICORN = ("gunicorn", "--bind", "127.0.0.1:0", "--preload", "--workers", "2", "--threads", "4", "--graceful-timeout", "5")
SERVERS = {
    "flask run": ("flask", "--app", "flask_app", "run", "--port", "0"),
    "flask under gunicorn, loaded before the fork": (*GUNICORN, "flask_app:app"),
    "django runserver": ("django", "runserver", "--noreload", "127.0.0.1:0"),
    "django under gunicorn, loaded before the fork": (*GUNICORN, "wsgi:application"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_threads_of_a_server_without_an_event_loop_share_one_blocking_client(project: Place, name: str) -> None:
    worker = project.worker()
    server = project.start(*SERVERS[name], DJANGO_SETTINGS_MODULE="settings")
    site = server.serve()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: buys(site, f"A-{number}"), range(16)))
    assert answers == [{"receipt": f"A-{number} shipped for 90"} for number in range(16)]
    server.terminate()
    assert "Traceback" not in server.text
    worker.until(r"INFO     shop: shipping \[run_id=order-A-\d+ workflow=fulfil step=ship attempt=1\]")


def test_an_async_view_of_django_hands_the_call_to_a_thread_and_is_told_so(project: Place) -> None:
    project.worker()
    site = project.start(*SERVERS["django runserver"], DJANGO_SETTINGS_MODULE="settings").serve()
    assert site.get("/awaits/A-1") == {"run": "order-A-1"}
    assert "`await asyncio.to_thread(…)`" in site.get("/blocks/A-1")["error"]


def test_flask_answers_for_a_run_that_does_not_exist(place: Place) -> None:
    place.worker()
    site = place.start(*SERVERS["flask run"]).serve()
    assert site.status_of("/orders/nobody/receipt") == 404


def test_a_client_that_was_used_before_the_fork_is_refused_in_the_children_with_what_to_do(place: Place) -> None:
    place.worker()
    app = place.folder / "flask_app.py"
    app.write_text(app.read_text() + "\nclient.runs()\n")
    server = place.start(*GUNICORN, "flask_app:app")
    site = server.serve()
    site.post("/orders/A-1")
    server.terminate()
    assert "was open in the process that this one was forked from" in server.text
    assert "close it before the fork" in server.text


def test_a_client_that_was_used_and_closed_before_the_fork_serves_the_children(place: Place) -> None:
    place.worker()
    app = place.folder / "flask_app.py"
    app.write_text(app.read_text() + "\nclient.runs()\nclient.close()\n")
    assert buys(place.start(*GUNICORN, "flask_app:app").serve(), "A-1") == {"receipt": "A-1 shipped for 90"}


DATABASE = """
import django
django.setup()
from django.db import connection

with connection.cursor() as cursor:
    cursor.execute("create table orders (number text)")
    cursor.execute("insert into orders values ('A-1'), ('A-2')")
"""


def test_steps_of_a_worker_use_the_database_of_django(project: Place) -> None:
    (project.folder / "make_database.py").write_text(DATABASE)
    assert project.start("make_database", DJANGO_SETTINGS_MODULE="settings").wait() == 0
    project.worker("django_worker.py")
    with project.client() as client:
        assert client.start("report").result(20) == "2 orders"


# ── a notebook ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Notebook:
    """A real kernel, to which cells are given one after the other."""

    def __init__(self, folder: Path) -> None:
        self._client = NotebookClient(new_notebook(), timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
        self._cells = 0

    def __enter__(self) -> Self:
        self._kernel = self._client.setup_kernel(cwd=self._client.resources["metadata"]["path"])
        self._kernel.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._kernel.__exit__(*details)

    def run(self, code: str) -> str:
        """What the cell gives, or prints."""
        cell = new_code_cell(code)
        self._client.nb.cells.append(cell)
        self._client.execute_cell(cell, self._cells)
        self._cells += 1
        return "".join(str(one.get("text") or one["data"]["text/plain"]) for one in cell.outputs)

    def refused(self, code: str) -> str:
        """The name and the text of the error that the cell raises."""
        with pytest.raises(CellExecutionError) as error:
            self.run(code)
        return f"{error.value.ename}: {error.value.evalue}"

    def die(self) -> None:
        """As a kernel does that is restarted in the middle of something."""
        os.kill(int(self.run("import os; os.getpid()")), signal.SIGKILL)


CELLS = {title: code for title, code in programs().items() if title.startswith("cell")}


def test_cells_of_a_notebook_are_run_again_after_a_change(place: Place) -> None:
    with Notebook(place.folder) as notebook:
        assert notebook.run(CELLS["cell 1"]) == ""
        assert notebook.run(CELLS["cell 2"]) == "'A-1: 90'"
        notebook.run(CELLS["cell 1"].replace("{number}:", "{number} costs").replace("90", "95"))
        assert notebook.run(CELLS["cell 2"]) == "'A-1 costs 95'"


WAITS = """
@workflow
async def waits(number: str) -> str:
    return f"{number} paid {await receive('paid', int)}"
"""


def test_a_cell_that_defines_a_workflow_anew_is_told_what_to_do_and_a_new_step_is_simply_used(place: Place) -> None:
    with Notebook(place.folder) as notebook:
        notebook.run(CELLS["cell 1"])
        notebook.run("@step\nasync def price(number: str) -> int:\n    return 100")
        assert notebook.run(CELLS["cell 2"]) == "'A-1: 100'"
        notebook.run("@workflow\nasync def quote(number: str) -> str:\n    return 'anew'")
        for refused in (CELLS["cell 2"], "await Engine('sqlite:///notebook.db', [quote]).open()"):
            assert "NameTaken: " in notebook.refused(refused)
            assert "await engine.close()" in notebook.refused(refused)
        assert "await asyncio.to_thread" in notebook.refused("Client.blocking('sqlite:///notebook.db').runs()")
        notebook.run("await engine.close()")
        notebook.run("engine = await Engine('sqlite:///notebook.db', [quote]).open()")
        assert notebook.run(CELLS["cell 2"]) == "'anew'"


def test_what_waits_when_a_kernel_dies_goes_on_in_the_next(place: Place) -> None:
    opens = f"from perdure import Engine, receive, workflow\n{WAITS}\nengine = await Engine('sqlite:///n.db', [waits]).open()"
    with Notebook(place.folder) as notebook:
        notebook.run(opens)
        notebook.run("run = await engine.start(waits, 'A-1', id='order-1')")
        notebook.die()
    with Notebook(place.folder) as notebook:
        notebook.run(opens)
        notebook.run("await engine.run('order-1').signal('paid', 90)")
        assert notebook.run("await engine.run('order-1').result()") == "'A-1 paid 90'"
