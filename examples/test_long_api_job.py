"""The long job: with the API faked, and with a small real one behind the real steps."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from examples.long_api_job import Job, JobFailed, fetch, order, report
from perdure import testing
from perdure.errors import RetryAfter, RunFailed

JOB = Job("http://jobs.example/1")


async def test_it_asks_again_when_the_api_says_so() -> None:
    async with testing.engine([report], real_steps=False) as engine:
        engine.fake(order, JOB)
        engine.fake(fetch, each=[RetryAfter(timedelta(minutes=20)), ConnectionError("reset"), RetryAfter(timedelta(hours=3)), "42 pages"])
        began = engine.now
        assert await engine.finish(await engine.start(report, "sales")) == "42 pages"
        first, second, third, last = [call.at - began for call in engine.calls(fetch)]
        assert (first, second, last - third) == (timedelta(0), timedelta(minutes=20), timedelta(hours=3))


async def test_it_gives_up_after_two_days() -> None:
    async with testing.engine([report], real_steps=False) as engine:
        engine.fake(order, JOB)
        engine.fake(fetch, lambda job: ask_again())
        run = await engine.start(report, "sales")
        began = engine.now
        with pytest.raises(RunFailed):
            await engine.finish(run)
        assert timedelta(hours=44) < engine.now - began <= timedelta(hours=48)


def ask_again() -> str:
    raise RetryAfter(timedelta(hours=4))


async def test_a_job_that_cannot_be_done_is_not_asked_for_again() -> None:
    async with testing.engine([report], real_steps=False) as engine:
        engine.fake(order, JOB)
        engine.fake(fetch, JobFailed("no such report"))
        with pytest.raises(RunFailed, match="JobFailed: no such report"):
            await (await engine.start(report, "sales")).result()
        assert len(engine.calls(fetch)) == 1


async def test_a_crash_orders_the_job_with_the_same_key_and_not_another() -> None:
    def api(engine: testing.VirtualEngine) -> object:
        jobs: dict[str, Job] = {}
        engine.fake(order, lambda kind: jobs.setdefault(engine.calls(order)[-1].idempotency_key, JOB))
        engine.fake(fetch, "42 pages")
        return lambda: len(jobs)

    assert (await testing.crash_everywhere(report, "sales", prepare=api, real_steps=False)).ending.effects == 1


# ── the real steps, against a real server ────────────────────────────────────────────────────────────────────────────


class Api(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"url": f"http://{self.headers['Host']}/jobs/1"})

    def do_GET(self) -> None:
        self.asked.append(self.path)
        states = [{"state": "running", "ask_again_in": 3600}, {"state": "done", "result": "42 pages"}]
        if len(self.asked) == 1:
            self.send_response(429)
            self.send_header("Retry-After", "60")
            self.end_headers()
        else:
            self.answer(states[len(self.asked) - 2])

    def answer(self, document: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def jobs_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Api.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/jobs"
        monkeypatch.setenv("JOBS_URL", url)
        yield url
        server.shutdown()
        thread.join()


async def test_the_real_steps_speak_with_a_real_api(jobs_url: str) -> None:
    async with testing.engine([report]) as engine:
        began = engine.now
        assert await engine.finish(await engine.start(report, "sales")) == "42 pages"
        assert engine.now - began == timedelta(seconds=60 + 3600)
        assert Api.asked == ["/jobs/1"] * 3
