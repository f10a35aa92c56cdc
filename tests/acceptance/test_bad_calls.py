"""Every call of the public interface, given what is of the wrong type or makes no sense: an error that names it, and nothing changed."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from perdure import (
    Client,
    Engine,
    Retry,
    continue_as_new,
    patched,
    receive,
    saga,
    set_status,
    sleep_until,
    step,
    workflow,
)
from perdure.errors import BadInput, EncodeError, PerdureError, RunNotFound, UnknownWorkflow
from tests.acceptance.harness import Stage

NO_TEXT: list[Any] = [5, 0, True, b"text", ["text"], object(), 1.5]
NO_NAME: list[Any] = [*NO_TEXT, "", "x" * 201, "a\nb", "\0", "\ud800"]
NO_LENGTH: list[Any] = [-1, math.nan, math.inf, 1e300, "soon", [1], True, timedelta(microseconds=-1)]
NO_RETRY: list[Any] = [5, "often", {"attempts": 5}, True]


@step
async def work(number: int = 0) -> int:
    return number


@workflow
async def flow(x: int = 0) -> int:
    return await work(x)


def shown(value: object) -> str:
    """The same in every process."""
    return type(value).__name__ if " at 0x" in repr(value) else repr(value)[:20].encode("unicode_escape").decode()


async def done(call: Callable[[], Any]) -> None:
    answer = call()
    if isinstance(answer, Awaitable):
        await answer


async def refused(call: Callable[[], Any], *kinds: type[Exception], says: str | None = None) -> str:
    """What it says when it raises one of these."""
    with pytest.raises(kinds, match=says) as error:
        await done(call)
    return str(error.value)


def is_ours(message: str) -> bool:
    """Whether the words are ours."""
    return bool(message) and not any(words in message for words in FOREIGN)


FOREIGN = (
    "object has no attribute",
    "has no len()",
    "not supported between",
    "is not iterable",
    "binding argument",
    "codec can't",
    "datatype",
)
"""What Python and SQLite say of it: true, and no help."""


CALLS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "start(…, id=)": (lambda engine, value: engine.start(flow, id=value), NO_NAME),
    "start(workflow)": (lambda engine, value: engine.start(value), [None, *NO_NAME, print, work]),
    "start of arguments": (lambda engine, value: engine.start(flow, value), ["x", [1], object(), 1.5, None]),
    "start of arguments by name": (lambda engine, value: engine.start("other", x=value), [object(), print, {1, object()}]),
    "start of an unknown parameter": (lambda engine, value: engine.start(flow, **{value: 1}), ["y"]),
    "run(id)": (lambda engine, value: engine.run(value), [None, *NO_TEXT, "\ud800"]),
    "runs(workflow=)": (lambda engine, value: engine.runs(workflow=value), [*NO_NAME, flow]),
    "runs(status=)": (lambda engine, value: engine.runs(status=value), [*NO_TEXT, "", "done", "COMPLETED"]),
    "runs(limit=)": (lambda engine, value: engine.runs(limit=value), [0, -1, 1001, 1.5, "x", None, True, math.nan]),
    "runs(cursor=)": (lambda engine, value: engine.runs(cursor=value), [*NO_TEXT, "", "x", "-1-x", "1-\ud800"]),
    "signal(topic)": (lambda engine, value: engine.run("there").signal(value), [None, *NO_NAME]),
    "signal(key=)": (lambda engine, value: engine.run("there").signal("word", key=value), NO_NAME),
    "signal(payload)": (lambda engine, value: engine.run("there").signal("word", value), [object(), print, int, "x" * 1_100_000]),
    "result(timeout)": (lambda engine, value: engine.run("there").result(value), NO_LENGTH),
    "cancel(grace=)": (lambda engine, value: engine.run("there").cancel(grace=value), NO_LENGTH),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_with_what_makes_no_sense_names_it_and_changes_nothing(stage: Stage, name: str) -> None:
    call, values = CALLS[name]
    engine = await stage.engine(flow)
    await (await engine.start(flow, id="there")).result(30)
    before = stage.content()

    for value in values:
        assert is_ours(
            await refused(lambda value=value: call(engine, value), BadInput, EncodeError, UnknownWorkflow, ValueError, TypeError)
        )

    assert stage.content() == before
    assert await (await engine.start(flow, 3)).result(30) == 3


@pytest.mark.parametrize("method", ["status", "history", "cancel", "pause", "resume", "retry", "delete", "result", "signal"])
async def test_every_method_of_a_run_that_does_not_exist_says_so(stage: Stage, method: str) -> None:
    engine = await stage.engine(flow)
    arguments = ["word"] if method == "signal" else []

    for run_id in ("", "nobody", "x" * 1000, "a\nb"):
        assert is_ours(await refused(lambda run_id=run_id: getattr(engine.run(run_id), method)(*arguments), RunNotFound))

    assert not stage.sql("select 1 from runs union all select 1 from inbox union all select 1 from requests")


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────

ADDRESSES: list[Any] = [None, *NO_TEXT, "", "store.db", "sqlite://x", "postgresql://x/y", "http://x", "sqlite:///", "sqlite:///x?mode=ro"]


async def opened(url: object, **options: Any) -> None:
    async with Engine(url, [flow], **options):  # type: ignore[arg-type]
        pass


async def opened_by_client(url: object, **options: Any) -> None:
    async with Client(url, **options):  # type: ignore[arg-type]
        pass


async def opened_by_blocking_client(url: object, **options: Any) -> None:
    def open_and_close() -> None:
        with Client.blocking(url, **options):  # type: ignore[arg-type]
            pass

    await asyncio.to_thread(open_and_close)


@pytest.mark.parametrize("way", [opened, opened_by_client, opened_by_blocking_client], ids=lambda way: way.__name__)
async def test_an_address_that_is_none_is_refused_and_makes_no_file(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, way: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)

    for url in ADDRESSES:
        assert is_ours(await refused(lambda url=url: way(url), PerdureError))

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("way", [opened, opened_by_client, opened_by_blocking_client], ids=lambda way: way.__name__)
async def test_a_namespace_that_is_no_name_is_refused(stage: Stage, way: Callable[..., Any]) -> None:
    await stage.engine(flow)
    before = stage.content()

    for namespace in (None, *NO_NAME):
        assert is_ours(await refused(lambda namespace=namespace: way(stage.url, namespace=namespace), BadInput, says="namespace"))

    assert stage.content() == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"workflows": flow}, "workflows"),
        ({"workflows": None}, "workflows"),
        ({"workflows": "flow"}, "workflows"),
        ({"workflows": [5]}, "not a workflow"),
        ({"workflows": [work]}, "not a workflow"),
        ({"retention": 5}, "retention"),
        ({"retention": {"completed": "soon"}}, "retention"),
        ({"retention": {"running": 1}}, "retention"),
        ({"on_trouble": 5}, "on_trouble"),
        ({"settings": 5}, "settings"),
    ],
    ids=lambda value: " ".join(f"{key}={shown(one)}" for key, one in value.items()) if isinstance(value, dict) else "",
)
async def test_an_engine_of_what_makes_no_sense_is_refused_before_it_makes_a_file(tmp_path: Any, options: Any, says: str) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"

    assert is_ours(await refused(lambda: Engine(url, **{"workflows": [flow]} | options), TypeError, ValueError, UnknownWorkflow, says=says))

    assert not list(tmp_path.iterdir())


# ── defining ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def a_function() -> None:
    """What is decorated."""


DEFINITIONS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "Retry(attempts=)": (lambda value: Retry(attempts=value), [0, -1, 1.5, "x", True]),
    "Retry(initial=)": (lambda value: Retry(initial=value), NO_LENGTH),
    "Retry(maximum=)": (lambda value: Retry(maximum=value), NO_LENGTH),
    "Retry(give_up_after=)": (lambda value: Retry(give_up_after=value), NO_LENGTH),
    "Retry(factor=)": (lambda value: Retry(factor=value), [0, 0.5, -1, math.nan, math.inf, "x", None, True]),
    "Retry(jitter=)": (lambda value: Retry(jitter=value), [-0.1, 1, math.nan, "x", None, True]),
    "Retry(retry_on=)": (lambda value: Retry(retry_on=value), [ValueError, "ValueError", 5, ["x"], (5,), (int,), None]),
    "Retry(dont_retry=)": (lambda value: Retry(dont_retry=value), [ValueError, "ValueError", 5, ["x"], (5,), (int,), None]),
    "@step(function)": (step, [5, "x"]),
    "@step(name=)": (lambda value: step(name=value)(a_function), NO_NAME),
    "@step(retry=)": (lambda value: step(retry=value)(a_function), NO_RETRY),
    "@step(timeout=)": (lambda value: step(timeout=value)(a_function), [0, *NO_LENGTH]),
    "options(retry=)": (lambda value: work.options(retry=value), NO_RETRY),
    "options(timeout=)": (lambda value: work.options(timeout=value), [0, *NO_LENGTH]),
    "@workflow(function)": (workflow, [5, "x", print, lambda: None]),
    "@workflow(name=)": (lambda value: workflow(name=value)(a_function), NO_NAME),
}


@pytest.mark.parametrize("name", DEFINITIONS)
async def test_a_definition_that_makes_no_sense_is_refused_where_it_is_written(name: str) -> None:
    call, values = DEFINITIONS[name]

    for value in values:
        assert is_ours(await refused(lambda value=value: call(value), TypeError, ValueError))


# ── inside a workflow ────────────────────────────────────────────────────────────────────────────────────────────────


async def undo_what_is_no_step(value: Any) -> None:
    async with saga() as undo:
        undo(value)


INSIDE: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "receive(topic)": (receive, [None, *NO_NAME, {}, {"": int}, {5: int}]),
    "receive(timeout=)": (lambda value: receive("word", timeout=value), NO_LENGTH),
    "sleep_until": (sleep_until, [None, 5, "2030-01-01", datetime(2030, 1, 1)]),
    "patched": (patched, NO_NAME),
    "set_status": (set_status, [object(), print, "x" * 1_100_000]),
    "continue_as_new": (continue_as_new, [5, None, object()]),
    "undo": (undo_what_is_no_step, [None, 5, print, a_function]),
    "a step's argument": (work, [object(), "x", [1]]),
}  # fmt: skip


@workflow
async def tries(name: str) -> list[str]:
    call, values = INSIDE[name]
    wrong = []
    for value in values:
        try:
            await done(lambda value=value: call(value))
            wrong.append(f"{shown(value)} was taken")
        except (PerdureError, TypeError, ValueError) as error:
            if not is_ours(str(error)):
                wrong.append(f"{shown(value)}: {error}")
    return wrong


@pytest.mark.parametrize("name", INSIDE)
async def test_what_makes_no_sense_inside_a_workflow_can_be_caught_there_and_records_nothing(stage: Stage, name: str) -> None:
    engine = await stage.engine(tries)
    run = await engine.start(tries, name)

    assert await run.result(30) == []
    assert [record.kind for record in await run.history()] == ["started", "completed"]
    assert (await run.status()).note is None
