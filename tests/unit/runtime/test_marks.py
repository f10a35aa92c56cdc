"""`patched`: one answer for each mark and run, whatever becomes of the code and of the worker."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from perdure import patched, receive, step, workflow
from perdure.authoring.workflow import Workflow
from perdure.errors import BadInput, CorruptedHistory, NonDeterminism, NotInWorkflow
from perdure.model.records import Record, RecordKind
from tests.driving import VirtualEngine, new_execution, replay, replays_alike, stand_of


@step
async def old(value: str = "") -> str:
    return f"old {value}".strip()


@step
async def new(value: str = "") -> str:
    return f"new {value}".strip()


def flow(body: Callable[..., Any]) -> Workflow[..., Any]:
    return workflow(name="flow")(body)


def continued(history: Sequence[Record], changed: Workflow[..., Any], reached: int = 0, payload: bytes = b"{}") -> VirtualEngine:
    """An engine with other code that has replayed the history and goes on; `reached` as the store would have kept it."""
    engine = VirtualEngine(changed)
    engine.history = list(history)
    engine.at = history[-1].at
    execution = engine.execution = new_execution(changed, payload)
    execution.marks.recall(history, reached)
    for record in history:
        execution.apply(record)
        engine.stands.append(stand_of(execution))
    execution.went_live()
    engine._take_up(execution.wanted(), ())
    execution.take_fresh()
    return engine


def steps_of(engine: VirtualEngine) -> list[str]:
    return [record.name for record in engine.history if record.kind is RecordKind.STEP]


@flow
async def before() -> str:
    first = await old("one")
    await receive("word")
    return first


@flow
async def after() -> str:
    first = await (new("one") if patched("other step") else old("one"))
    await receive("word")
    return first + (" and more" if patched("other step") else "")


def test_a_run_that_begins_with_the_mark_takes_the_new_way_and_every_replay_does() -> None:
    with VirtualEngine(after, signals=[(5, "word", 1)]).run() as engine:
        assert engine.result == "new one and more"
        assert [record.kind for record in engine.history] == ["started", "patched", "step", "signal"]
        replays_alike(engine)


def test_a_run_whose_old_code_is_past_the_mark_keeps_the_old_way() -> None:
    with VirtualEngine(before, signals=[(5, "word", 1)]).start() as engine:
        engine.go_on()
        history = engine.history[:2]

    with continued(history, after) as engine:
        engine._record([Record(0, 0, RecordKind.SIGNAL, "word", output=b"1")])
        assert engine.result == "old one"
        assert "patched" not in [record.kind for record in engine.history]


def test_code_that_has_not_come_to_the_mark_takes_the_new_way() -> None:
    @flow
    async def first() -> str:
        await old("one")
        return await old("two")

    @flow
    async def second() -> str:
        await old("one")
        return await (new("two") if patched("later") else old("two"))

    with VirtualEngine(first).start() as engine:
        engine.go_on()
        history = engine.history[:1]  # nothing but its beginning is recorded

    with continued(history, second).run() as engine:
        assert steps_of(engine) == ["old", "new"]
        replays_alike(engine)


def test_a_run_that_was_put_down_behind_the_mark_keeps_the_old_way_although_nothing_there_is_recorded() -> None:
    """It waits for a timer or a signal that stands behind the mark: the new step would come a month late, and the timer begin anew."""

    @flow
    async def waits() -> float:
        await old()
        await asyncio.sleep(1000)
        return asyncio.get_running_loop().time()

    @flow
    async def checks_first() -> float:
        await old()
        if patched("check"):
            await new()
        await asyncio.sleep(1000)
        return asyncio.get_running_loop().time()

    with VirtualEngine(waits).start() as engine:
        engine.go_on()
        history = engine.history[:2]

    with continued(history, checks_first, reached=2).run() as engine:
        assert steps_of(engine) == ["old"]
        assert engine.result == 1001
    with continued(history, checks_first, reached=1).run() as engine:
        assert steps_of(engine) == ["old", "new"]


def test_one_mark_has_one_answer_also_in_a_loop_that_old_code_began() -> None:
    @flow
    async def loops() -> list[str]:
        return [await old(str(number)) for number in range(4)]

    @flow
    async def changed() -> list[str]:
        return [await (new if patched("loop") else old)(str(number)) for number in range(4)]

    with VirtualEngine(loops).start() as engine:
        engine.go_on()
        engine.go_on()
        history = engine.history

    with continued(history, changed, reached=2).run() as engine:
        assert steps_of(engine) == ["old"] * 4
    with VirtualEngine(changed).run() as engine:
        assert steps_of(engine) == ["new"] * 4
        assert [record.kind for record in engine.history].count(RecordKind.PATCHED) == 1
        replays_alike(engine)


def test_several_marks_are_answered_each_for_itself() -> None:
    @flow
    async def first() -> list[str]:
        return [await old("one"), await old("two"), await old("three")]

    @flow
    async def second() -> list[str]:
        one = await (new if patched("one") else old)("one")
        two = await (new if patched("two") else old)("two")
        three = await (new if patched("three") else old)("three")
        return [one, two, three]

    with VirtualEngine(first).start() as engine:
        engine.go_on()
        engine.go_on()
        history = engine.history[:3]
    with continued(history, second).run() as engine:
        assert steps_of(engine) == ["old", "old", "new"]
        replayed = list(replay(new_execution(second, b"{}"), engine.history))
        assert replayed[-1].outcome == engine.outcome


@pytest.mark.parametrize("schedule", range(6))
def test_marks_in_branches_replay_alike_whatever_order_their_records_come_in(schedule: int) -> None:
    async def branch(name: str) -> str:
        await old(name)
        return await (new if patched(name) else old)(name)

    @flow
    async def branches() -> list[str]:
        return [*await asyncio.gather(*[branch(name) for name in "abc"]), str(patched("a")), str(patched("d"))]

    with VirtualEngine(branches, schedule=schedule).run() as engine:
        assert engine.result == ["new a", "new b", "new c", "True", "True"]
        replays_alike(engine)
    with VirtualEngine(branches, schedule=schedule, crashes=True).run() as engine:
        assert engine.result == ["new a", "new b", "new c", "True", "True"]


def test_a_mark_can_be_taken_out_of_the_code_when_every_run_has_passed_it() -> None:
    @flow
    async def without() -> str:
        first = await new("one")
        await receive("word")
        return first + " and more"

    with VirtualEngine(after, signals=[(5, "word", 1)]).run() as engine:
        assert list(replay(new_execution(without, b"{}"), engine.history))[-1].outcome == engine.outcome


def test_a_run_that_kept_the_old_way_is_told_where_the_mark_was_taken_out_too_early() -> None:
    @flow
    async def without() -> str:
        return await new("one")

    with VirtualEngine(before).run() as engine, pytest.raises(NonDeterminism, match="the history holds step 'old'"):
        list(replay(new_execution(without, b"{}"), engine.history))


def test_a_replay_that_was_not_told_of_its_history_is_refused_rather_than_wrong() -> None:
    @flow
    async def marked() -> bool:
        await old()
        is_new = patched("mark")
        await old()
        return is_new

    with VirtualEngine(marked).run() as engine:
        execution = new_execution(marked, b"{}")
        for record in engine.history[:2]:
            execution.apply(record)
        with pytest.raises(CorruptedHistory, match="mark 'mark' was passed"):
            execution.apply(engine.history[2])


def test_closing_a_run_passes_no_mark() -> None:
    seen: list[bool] = []

    @flow
    async def cleans() -> None:
        try:
            await receive("never")
        finally:
            seen.append(patched("clean"))

    with VirtualEngine(cleans).start() as engine:
        pass
    assert seen == [False]
    assert not engine.execution.marks.fresh


@pytest.mark.parametrize("mark", ["", "x" * 201, "two\nlines"])
def test_a_mark_that_is_no_printable_text_is_refused(mark: Any) -> None:
    @flow
    async def marked() -> bool:
        return patched(mark)

    with VirtualEngine(marked).run() as engine:
        assert engine.outcome is not None
        assert engine.outcome[:2] == ("raised", BadInput.__name__)


def test_outside_a_run_there_is_nothing_to_ask() -> None:
    with pytest.raises(NotInWorkflow):
        patched("mark")
