"""Signals are received once each, in order of arrival, by whoever began to wait first."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import receive, step, workflow
from perdure.errors import DecodeError
from perdure.model.records import Record, RecordKind
from perdure.runtime.execution import Execution
from perdure.runtime.mailbox import Mailbox
from tests.driving import BEGAN, VirtualEngine, new_execution, outcome_of, replays_alike


def begun(body: Any) -> Execution:
    @workflow
    async def sample() -> Any:
        return await body()

    execution = new_execution(sample, b"{}")
    execution.apply(Record(1, BEGAN, RecordKind.STARTED))
    return execution


def deliver(execution: Execution, topic: str, value: object) -> None:
    execution.apply(Record(execution.position + 1, BEGAN, RecordKind.SIGNAL, topic, output=json.dumps(value).encode()))


def fire(execution: Execution) -> None:
    deadline, number = execution.due(1 << 62)[0]
    execution.apply(Record(execution.position + 1, deadline, RecordKind.TIMER, command=number))


def result_of(execution: Execution) -> Any:
    outcome = outcome_of(execution)
    assert outcome is not None
    assert outcome[0] == "returned", outcome
    return json.loads(outcome[1])


def test_signals_that_came_before_anyone_waited_are_kept_in_order() -> None:
    async def body() -> list[object]:
        await asyncio.sleep(1)
        return [await receive("a"), await receive("a"), await receive("b")]

    execution = begun(body)
    for topic, value in (("a", 1), ("b", 2), ("a", 3)):
        deliver(execution, topic, value)
    fire(execution)
    assert result_of(execution) == [1, 3, 2]


def test_of_several_topics_the_earliest_signal_comes_first_whatever_the_order_they_are_named_in() -> None:
    async def body() -> list[object]:
        await asyncio.sleep(1)
        return [await receive({"a": int, "b": int}) for _ in range(2)] + [await receive({"b": int, "a": int}) for _ in range(2)]

    execution = begun(body)
    for topic, value in (("b", 1), ("a", 2), ("a", 3), ("b", 4)):
        deliver(execution, topic, value)
    fire(execution)
    assert result_of(execution) == [["b", 1], ["a", 2], ["a", 3], ["b", 4]]


def test_receivers_are_served_in_the_order_in_which_they_began_to_wait() -> None:
    async def body() -> list[object]:
        return list(await asyncio.gather(receive("a"), receive({"b": int, "a": int}), receive("b")))

    execution = begun(body)
    assert execution.waited_topics() == [("a",), ("b", "a"), ("b",)]
    deliver(execution, "b", 1)
    assert execution.waited_topics() == [("a",), ("b",)]
    deliver(execution, "b", 2)
    deliver(execution, "a", 3)
    assert result_of(execution) == [3, ["b", 1], 2]


def test_a_signal_of_another_topic_wakes_nobody() -> None:
    async def body() -> object:
        return await receive("a")

    execution = begun(body)
    deliver(execution, "b", 1)
    assert execution.outcome is None
    assert execution.waited_topics() == [("a",)]


@pytest.mark.parametrize("others", [0, 1])
def test_m11_a_signal_for_a_receiver_that_is_cancelled_in_the_same_pass_goes_back_to_the_head_or_to_the_next(others: int) -> None:
    """The task that waits longest for "go" cancels the receiver that was handed the signal before it could run."""

    async def body() -> list[object]:
        answers: list[object] = []

        async def take(name: str) -> None:
            answers.append([name, await receive({"go": int})])

        first = asyncio.create_task(take("first"))
        waiting = [asyncio.create_task(take("second")) for _ in range(others)]
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        host = loop.host  # type: ignore[attr-defined]
        original = host._mailbox.deliver

        def deliver_and_cancel(*signal: Any) -> None:
            original(*signal)
            first.cancel()

        host._mailbox.deliver = deliver_and_cancel
        await asyncio.wait([first])
        del host._mailbox.deliver
        answers += [first.cancelled(), await receive("go")]
        await asyncio.gather(*waiting)
        return answers

    execution = begun(body)
    deliver(execution, "go", 1)
    deliver(execution, "go", 2)
    assert result_of(execution) == ([["second", ["go", 1]], True, 2] if others else [True, 1])


def test_m11_a_timeout_and_a_signal_together_lose_nothing() -> None:
    """Whichever was recorded first decides; the signal that came too late for one receive is there for the next."""

    async def body() -> list[object]:
        answers: list[object] = []
        for _ in range(2):
            try:
                answers.append(await receive("go", int, timeout=5))
            except TimeoutError:
                answers.append("late")
        return answers

    in_time, late = begun(body), begun(body)
    deliver(in_time, "go", 1)
    in_time.apply(Record(3, BEGAN + 5_000_000, RecordKind.TIMER, command=0))
    fire(in_time)
    assert result_of(in_time) == [1, "late"]
    late.apply(Record(2, BEGAN + 5_000_000, RecordKind.TIMER, command=0))
    deliver(late, "go", 1)
    assert result_of(late) == ["late", 1]


def test_a_receiver_that_gives_up_leaves_nothing_behind() -> None:
    async def body() -> str:
        for _ in range(3):
            try:
                await receive("never", timeout=1)
            except TimeoutError:
                continue
        return "done"

    execution = begun(body)
    for _ in range(2):
        fire(execution)
        assert execution.waited_topics() == [("never",)]
    fire(execution)
    assert (result_of(execution), execution.waited_topics()) == ("done", [])


def test_no_time_to_wait_takes_what_is_there_and_nothing_else() -> None:
    async def body() -> list[object]:
        await asyncio.sleep(1)
        answers = [await receive("a", int, timeout=0)]
        try:
            await receive("a", int, timeout=0)
        except TimeoutError:
            answers.append("none")
        return answers

    execution = begun(body)
    deliver(execution, "a", 1)
    fire(execution)
    assert result_of(execution) == [1, "none"]


def test_a_payload_that_does_not_fit_is_told_and_gone() -> None:
    async def body() -> list[object]:
        try:
            await receive("count", int)
        except DecodeError as error:
            return [str(error), await receive("count", int)]
        return []

    execution = begun(body)
    deliver(execution, "count", "many")
    deliver(execution, "count", 2)
    told, value = result_of(execution)
    assert "signal count" in told
    assert value == 2


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), 1e300])
def test_f50_a_timeout_of_no_length_is_refused_before_anything_is_waited_for(timeout: float) -> None:
    async def body() -> str:
        try:
            await receive("a", timeout=timeout)
        except ValueError as error:
            return str(error)
        return "waited"

    assert result_of(begun(body)).startswith("timeout ")


def test_receiving_no_topic_at_all_is_refused() -> None:
    async def body() -> str:
        try:
            await receive({})
        except ValueError as error:
            return str(error)
        return "waited"

    assert "at least one topic" in result_of(begun(body))


def test_b57_a_replay_delivers_each_signal_once() -> None:
    @step
    async def act(value: int) -> int:
        return value

    @workflow
    async def sample() -> list[int]:
        return [await act(await receive("n", int)) for _ in range(4)]

    for schedule in range(5):
        with VirtualEngine(sample, signals=[(0, "n", 1), (0.5, "n", 2), (9, "n", 3), (9.5, "n", 4)], schedule=schedule).run() as engine:
            assert engine.result == [1, 2, 3, 4]
            replays_alike(engine)


# ── the mailbox alone ────────────────────────────────────────────────────────────────────────────────────────────────

TOPICS = ("a", "b", "c")


@given(st.lists(st.tuples(st.sampled_from(TOPICS), st.lists(st.sampled_from(TOPICS), min_size=1, unique=True))))
def test_what_is_taken_is_the_earliest_of_its_topics_and_nothing_is_taken_twice(steps: Sequence[tuple[str, list[str]]]) -> None:
    mailbox, waiting = Mailbox(), []
    for number, (topic, asked) in enumerate(steps):
        mailbox.deliver(number, topic, str(number).encode())
        waiting.append((topic, str(number).encode()))
        expected = next((one for one in waiting if one[0] in asked), None)
        assert mailbox.take(tuple(asked)) == expected
        if expected is not None:
            waiting.remove(expected)
