"""`saga()`: what was done is undone, the last first, whatever fails, whoever cancels, and wherever the process dies."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from perdure import Retry, receive, saga, step, workflow
from perdure.errors import BadInput, CompensationFailed, EncodeError, NonDeterminism, NotInWorkflow
from perdure.model.records import Record, RecordKind
from perdure.runtime.commands import Raised
from tests.driving import Signal, VirtualEngine, new_execution, replay, replays_alike


@step
async def book(what: str) -> str:
    return f"{what} booked"


@step
async def cancel(what: str, why: str = "") -> str:
    return f"{what} cancelled"


@step
def release(what: str) -> None:
    """A plain function, in a thread."""


@step
async def refuses(what: str) -> None:
    raise LookupError(what)


@step
async def slowly(what: str, lasts: float) -> None: ...


WORDS = {
    RecordKind.STEP: "",
    RecordKind.STEP_FAILED: "not ",
    RecordKind.COMPENSATED: "undo ",
    RecordKind.COMPENSATION_FAILED: "not undo ",
}


class Declined(Exception):
    """What the workflow's own code raises."""


def ran(body: Callable[[], Any], *, signals: tuple[Signal, ...] = ()) -> VirtualEngine:
    """To its end; with a death after every record it comes out alike, and every part of its history replays."""

    @workflow
    async def sample() -> Any:
        return await body()

    with VirtualEngine(sample, signals=signals).run() as engine:
        replays_alike(engine)
    with VirtualEngine(sample, signals=signals, crashes=True).run() as crashing:
        assert crashing.history == engine.history
        assert crashing.outcome == engine.outcome
    return engine


def told(engine: VirtualEngine) -> list[str]:
    """What was done and undone, in order."""
    return [f"{WORDS[one.kind]}{one.name} {what_of(engine, one)}" for one in engine.history if one.kind in WORDS]


def what_of(engine: VirtualEngine, record: Record) -> str:
    """The first argument; the virtual engine does not record it."""
    return arguments[engine.execution.run_id, record.command or 0]


arguments: dict[tuple[str, int], str] = {}


@pytest.fixture(autouse=True)
def _note_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments.clear()
    real = VirtualEngine._take_up

    def noting(self: VirtualEngine, fresh: Any, abandoned: Any) -> None:
        arguments.update({(self.run_id, one.number): json.loads(one.payload)["what"] for one in fresh})
        real(self, fresh, abandoned)

    monkeypatch.setattr(VirtualEngine, "_take_up", noting)


def test_what_was_done_is_undone_in_reverse_when_the_rest_fails() -> None:
    async def body() -> None:
        async with saga() as undo:
            for what in ("hotel", "flight", "car"):
                await book(what)
                undo(cancel, what)
            raise Declined("no money")

    engine = ran(body)
    assert told(engine) == ["book hotel", "book flight", "book car", "undo cancel car", "undo cancel flight", "undo cancel hotel"]
    assert engine.outcome == ("raised", "Declined", "no money")


def test_nothing_is_undone_when_all_went_well() -> None:
    async def body() -> str:
        async with saga() as undo:
            booked = await book("hotel")
            undo(cancel, "hotel")
        return booked

    engine = ran(body)
    assert (told(engine), engine.result) == (["book hotel"], "hotel booked")


def test_an_error_that_is_caught_outside_has_been_compensated_by_then() -> None:
    async def body() -> str:
        try:
            async with saga() as undo:
                undo(cancel, "hotel")
                raise Declined
        except Declined:
            return await book("tent")

    assert told(ran(body)) == ["undo cancel hotel", "book tent"]


def test_arguments_are_those_of_the_moment_when_they_were_noted() -> None:
    seen: list[list[str]] = []

    @step
    async def empty(what: str, rooms: list[str]) -> None:
        seen.append(rooms)

    async def body() -> None:
        rooms = ["one"]
        async with saga() as undo:
            undo(empty, "rooms", rooms)
            rooms.append("two")
            raise Declined

    ran(body)
    assert seen[0] == ["one"]


@pytest.mark.parametrize("given", [(1, 2, 3), (object(),), ()], ids=["too many", "of another type", "too few"])
def test_arguments_that_do_not_fit_are_refused_where_they_are_noted(given: tuple[Any, ...]) -> None:
    async def body() -> str:
        async with saga() as undo:
            undo(cancel, "hotel")
            try:
                undo(cancel, *given)
            except (BadInput, EncodeError):
                return "refused"
        return "taken"

    assert ran(body).result == "refused"


def test_options_of_one_call_and_plain_functions_are_taken() -> None:
    retry = Retry(attempts=7)
    found: list[tuple[str, int | None]] = []

    async def body() -> None:
        async with saga() as undo:
            undo(cancel.options(retry=retry), "hotel")
            undo(release, what="room")
            raise Declined

    @workflow
    async def sample() -> None:
        await body()

    with VirtualEngine(sample).start() as engine:
        while engine.outcome is None:
            found += [(one.name, one.options.retry.attempts) for one in engine.execution.wanted()]
            engine.go_on()
    assert found == [("release", None), ("cancel", 7)]


def test_only_a_step_can_undo() -> None:
    async def by_hand() -> None: ...

    async def body() -> None:
        async with saga() as undo:
            undo(by_hand)

    outcome = ran(body).outcome
    assert outcome is not None
    assert outcome[:2] == ("raised", "TypeError")
    assert "is no step" in outcome[2]


def test_after_its_block_a_saga_takes_nothing_more() -> None:
    async def body() -> None:
        async with saga() as undo:
            pass
        undo(cancel, "hotel")

    outcome = ran(body).outcome
    assert outcome is not None
    assert outcome[:2] == ("raised", "NotAllowedInWorkflow")


def test_outside_a_run_there_is_no_saga() -> None:
    with pytest.raises(NotInWorkflow):
        saga()


# ── failures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_compensation_that_fails_does_not_stop_the_others_and_all_errors_are_told() -> None:
    async def body() -> None:
        async with saga() as undo:
            undo(cancel, "hotel")
            undo(refuses, "flight")
            undo(cancel, "car")
            undo(refuses, "train")
            raise Declined("no money")

    engine = ran(body)
    assert told(engine) == ["not undo refuses train", "undo cancel car", "not undo refuses flight", "undo cancel hotel"]
    assert isinstance(engine.execution.outcome, Raised)
    error = engine.execution.outcome.error
    assert isinstance(error, CompensationFailed)
    assert str(error).startswith("2 of 4 compensations failed (refuses, refuses) after Declined: no money")
    assert [(type(one), str(one)) for one in error.exceptions] == [
        (Declined, "no money"),
        (LookupError, "train"),
        (LookupError, "flight"),
    ]
    assert isinstance(error.__cause__, Declined)


def test_a_compensation_that_failed_is_no_reason_to_take_the_error_for_a_clean_one() -> None:
    async def body() -> str:
        try:
            async with saga() as undo:
                undo(refuses, "flight")
                raise Declined
        except Declined:
            return "all is as it was"

    outcome = ran(body).outcome
    assert outcome is not None
    assert outcome[1] == "CompensationFailed"


# ── cancelling ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_block_that_runs_out_of_time_is_undone_and_then_times_out() -> None:
    async def body() -> None:
        async with asyncio.timeout(10):
            async with saga() as undo:
                undo(cancel, "hotel")
                await receive("never")

    engine = ran(body)
    assert told(engine) == ["undo cancel hotel"]
    assert engine.outcome == ("raised", "TimeoutError", "")


def test_a_cancellation_waits_until_everything_is_undone() -> None:
    async def trip() -> None:
        async with saga() as undo:
            undo(cancel, "hotel")
            undo(slowly, "flight", 50)
            raise Declined

    async def body() -> list[Any]:
        task = asyncio.create_task(trip())
        for _ in range(3):
            await asyncio.sleep(10)
            task.cancel()
        await asyncio.wait([task])
        return [task.cancelled(), asyncio.get_running_loop().time()]

    engine = ran(body)
    assert told(engine) == ["undo slowly flight", "undo cancel hotel"]
    assert engine.result == [True, 51]


def test_a_timeout_that_comes_while_a_failure_is_undone_cuts_nothing_short_and_is_not_lost() -> None:
    async def body() -> None:
        async with asyncio.timeout(10):
            try:
                async with saga() as undo:
                    undo(slowly, "flight", 50)
                    raise Declined
            except Declined:
                await receive("never")

    engine = ran(body)
    assert told(engine) == ["undo slowly flight"]
    assert engine.outcome is not None
    assert engine.outcome[1] == "TimeoutError"


def test_a_compensation_that_fails_makes_a_failure_of_a_cancellation() -> None:
    async def body() -> None:
        async with asyncio.timeout(10):
            async with saga() as undo:
                undo(refuses, "flight")
                await receive("never")

    engine = ran(body)
    assert engine.outcome is not None
    assert engine.outcome[1] == "CompensationFailed"
    assert isinstance(engine.execution.outcome, Raised)
    error = engine.execution.outcome.error
    assert isinstance(error, CompensationFailed)
    assert [type(one) for one in error.exceptions] == [LookupError]


def test_the_run_is_not_over_while_a_task_of_it_is_undoing() -> None:
    async def trip(what: str, lasts: float) -> None:
        async with saga() as undo:
            undo(slowly, what, lasts)
            raise Declined(what)

    async def body() -> None:
        await asyncio.gather(trip("long", 50), trip("short", 5))

    engine = ran(body)
    assert sorted(told(engine)) == ["undo slowly long", "undo slowly short"]
    assert engine.outcome == ("raised", "Declined", "short")


# ── inside each other ────────────────────────────────────────────────────────────────────────────────────────────────


async def book_with_saga(what: str) -> None:
    async with saga() as undo:
        await book(what)
        undo(cancel, what)


def test_a_saga_that_succeeded_inside_another_is_undone_with_it() -> None:
    async def body() -> None:
        async with saga() as undo:
            undo(cancel, "hotel")
            await book_with_saga("flight")
            undo(cancel, "car")
            raise Declined

    assert told(ran(body)) == ["book flight", "undo cancel car", "undo cancel flight", "undo cancel hotel"]


def test_a_saga_that_fails_inside_another_is_undone_first_and_alone_if_its_error_is_caught() -> None:
    async def body() -> str:
        async with saga() as undo:
            undo(cancel, "hotel")
            try:
                async with saga() as inner:
                    inner(cancel, "flight")
                    raise Declined
            except Declined:
                await book("train")
        return "done"

    engine = ran(body)
    assert told(engine) == ["undo cancel flight", "book train"]
    assert engine.result == "done"


def test_sagas_of_branches_are_undone_with_the_one_around_them() -> None:
    async def body() -> None:
        async with saga():
            await asyncio.gather(book_with_saga("hotel"), book_with_saga("flight"))
            raise Declined

    assert told(ran(body)) == ["book hotel", "book flight", "undo cancel flight", "undo cancel hotel"]


# ── histories ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_compensation_that_is_recorded_must_be_asked_for_as_one() -> None:
    @workflow(name="flow")
    async def before() -> None:
        async with saga() as undo:
            undo(cancel, "hotel")
            raise Declined

    @workflow(name="flow")
    async def after() -> None:
        await cancel("hotel")

    with VirtualEngine(before).run() as engine, pytest.raises(NonDeterminism, match="holds step 'cancel' as a compensation"):
        list(replay(new_execution(after, b"{}"), engine.history))


def test_a_run_that_leaves_memory_undoes_nothing() -> None:
    @workflow
    async def waits() -> None:
        async with saga() as undo:
            await book("hotel")
            undo(cancel, "hotel")
            await receive("never")

    with VirtualEngine(waits).run() as engine:
        issued = engine.execution.issued
    assert engine.execution.issued == issued == 1
