"""A job of somebody else's API that takes hours: order it once, ask for it as often as the API allows, give up after two days.

JOBS_URL=http://localhost:8000/jobs perdure worker examples/long_api_job.py
"""

import json
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from perdure import Retry, info, step, workflow
from perdure.errors import RetryAfter

GIVE_UP_AFTER = timedelta(days=2)


class JobFailed(Exception):
    """The API says that the job cannot be done."""


@dataclass
class Job:
    url: str


@step(timeout=30)
def order(kind: str) -> Job:
    """The key makes the API answer a repeated order with the first job."""
    answer = call("POST", os.environ["JOBS_URL"], {"kind": kind}, {"Idempotency-Key": info().idempotency_key or ""})
    return Job(answer["url"])


@step(timeout=30, retry=Retry(give_up_after=GIVE_UP_AFTER, maximum=300, dont_retry=(JobFailed,)))
def fetch(job: Job) -> str:
    """Tried again when the API says so (RetryAfter), with growing pauses when it is down. Between the tries the run costs a row."""
    answer = call("GET", job.url)
    if answer["state"] == "failed":
        raise JobFailed(answer["reason"])
    if answer["state"] != "done":
        raise RetryAfter(timedelta(seconds=answer["ask_again_in"]))
    return str(answer["result"])


@workflow
async def report(kind: str) -> str:
    job = await order(kind)
    return await fetch(job)


def call(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    request = Request(url, content, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with urlopen(request, timeout=20) as response:
            return json.load(response)
    except HTTPError as error:
        error.close()
        if error.code == 429:
            raise RetryAfter(timedelta(seconds=float(error.headers["Retry-After"]))) from error
        raise
