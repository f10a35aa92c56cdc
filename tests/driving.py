"""A virtual engine for one run: it keeps the history in a list, calls the steps itself and moves time by hand.

What a sample workflow sees it tells with `observe`. A step with a parameter named `lasts` takes that many virtual seconds; how long
the others take, and which of several outcomes are recorded together and in what order, is drawn from the schedule's seed.
"""

import heapq
import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from random import Random
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from perdure.authoring.current import current_host
from perdure.authoring.workflow import Workflow
from perdure.clock import SECOND, Instant
from perdure.codec.failures import encode_failure
from perdure.model.records import Record, RecordKind
from perdure.runtime.commands import Continued, Raised, Returned, StepCommand
from perdure.runtime.execution import Execution

BEGAN: Instant = 1_700_000_000 * SECOND
PAYLOAD_BYTES_MOST = 1 << 20
RECORDS_MOST = 1000
END_OF_TIME: Instant = 1 << 62

journals: "WeakKeyDictionary[Execution, list[object]]" = WeakKeyDictionary()

Signal = tuple[float, str, object]
"""Seconds after the start, topic, value."""


def observe(value: object) -> None:
    """Note what workflow code sees, and when."""
    host = current_host()
    assert isinstance(host, Execution)
    journals[host].append([(host.instant() - BEGAN) / SECOND, value])


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a run stands: everything it has asked for, said and seen."""

    position: int
    at: Instant
    issued: int
    open: tuple[tuple[int, str, str, bool], ...]
    timers: tuple[tuple[Instant, int], ...]
    topics: tuple[tuple[str, ...], ...]
    note: str | None
    outcome: tuple[str, ...] | None
    seen: tuple[str, ...]

    def as_json(self) -> Any:
        return json.loads(json.dumps(asdict(self)))


def stand_of(execution: Execution) -> Stand:
    commands = sorted(execution.open.items()) if execution.outcome is None else []
    return Stand(
        execution.position,
        execution.at,
        execution.issued,
        tuple((number, command.name, command.payload.decode(), command.is_cancelled) for number, command in commands),
        tuple(execution.due(END_OF_TIME)),
        tuple(execution.waited_topics()),
        None if execution.note is None else execution.note.decode(),
        outcome_of(execution),
        tuple(json.dumps(one) for one in journals[execution]),
    )


def outcome_of(execution: Execution) -> tuple[str, ...] | None:
    match execution.outcome:
        case None:
            return None
        case Returned(payload):
            return ("returned", payload.decode())
        case Continued(payload):
            return ("continued", payload.decode())
        case Raised(error):
            return ("raised", type(error).__name__, str(error))


def new_execution(workflow: Workflow[..., Any], payload: bytes, run_id: str = "run-1", seed: bytes = b"seed") -> Execution:
    execution = Execution(run_id, workflow, payload, seed, PAYLOAD_BYTES_MOST)
    journals[execution] = []
    return execution


def replay(execution: Execution, history: Sequence[Record], *, live_after: int | None = None) -> Iterator[Stand]:
    """Apply the history; where the run stands after each record."""
    execution.marks.recall(history[:live_after], reached=0)
    for record in history:
        execution.apply(record)
        if record.position == live_after:
            execution.went_live()
        yield stand_of(execution)


class VirtualEngine:
    """Drives one run from its start. With `crashes` it is dropped and replayed from its history after every batch of records."""

    def __init__(
        self,
        workflow: Workflow[..., Any],
        *args: object,
        signals: Sequence[Signal] = (),
        schedule: int = 0,
        crashes: bool = False,
        run_id: str = "run-1",
        seed: bytes = b"seed",
    ) -> None:
        self.workflow = workflow
        self.payload = workflow.parameters.encode(args, {}, limit=PAYLOAD_BYTES_MOST)
        self.run_id = run_id
        self.seed = seed
        self.history: list[Record] = []
        self.stands: list[Stand] = []
        self.at = BEGAN
        self.under_way: dict[int, StepCommand] = {}
        self._crashes = crashes
        self._chance = Random(schedule)
        self._is_plain = schedule == 0  # every step takes a second, one record at a time
        self._coming: list[tuple[Instant, int, int, Record]] = []  # when, two tie-breakers, and the record without position and time
        self._expected = 0
        self.execution = new_execution(workflow, self.payload, run_id, seed)
        self.execution.went_live()
        for seconds, topic, value in signals:
            record = Record(0, 0, RecordKind.SIGNAL, topic, output=json.dumps(value).encode())
            self._expect(BEGAN + round(seconds * SECOND), record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.execution.close()

    @property
    def outcome(self) -> tuple[str, ...] | None:
        return outcome_of(self.execution)

    @property
    def result(self) -> Any:
        """What the workflow returned, as JSON."""
        assert isinstance(self.execution.outcome, Returned), self.outcome or stand_of(self.execution)
        return json.loads(self.execution.outcome.payload)

    @property
    def seen(self) -> list[Any]:
        return [json.loads(json.dumps(value)) for _, value in journals[self.execution]]

    # ── going on ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> Self:
        """Until the workflow ends or waits for something that does not come."""
        if not self.history:
            self.start()
        while self.go_on():
            assert len(self.history) < RECORDS_MOST, "the workflow does not end"
        return self

    def start(self) -> Self:
        self._record([Record(0, 0, RecordKind.STARTED)])
        return self

    def go_on(self) -> bool:
        """Record what comes next. False if nothing can come."""
        if self.execution.outcome is not None:
            return False
        moments = [when for when, *_ in self._coming[:1]]
        deadline = self.execution.next_deadline()
        moments += [] if deadline is None else [deadline]
        if not moments:
            return False
        self.at = max(self.at, min(moments))
        self._record(self._next_batch())
        return True

    def _next_batch(self) -> list[Record]:
        due = [Record(0, 0, RecordKind.TIMER, command=number) for _, number in self.execution.due(self.at)]
        while self._coming and self._coming[0][0] <= self.at:
            due.append(heapq.heappop(self._coming)[3])
        taken = due[:1]
        if not self._is_plain:
            self._chance.shuffle(due)
            taken = due[: self._chance.choice([1, 1, 2, len(due)])]
        for record in due[len(taken) :]:
            if record.kind is not RecordKind.TIMER:
                self._expect(self.at, record)
        return taken

    def _record(self, batch: Sequence[Record]) -> None:
        """Commit a batch, then let the run see it."""
        begin = len(self.history)
        batch = [*(Record(0, 0, RecordKind.PATCHED, mark) for mark in self.execution.marks.take()), *batch]
        for record in batch:
            self.history.append(record._replace(position=len(self.history) + 1, at=self.at))
        for record in self.history[begin:]:
            self.under_way.pop(-1 if record.kind is RecordKind.TIMER or record.command is None else record.command, None)
            self.execution.apply(record)
            self.stands.append(stand_of(self.execution))
        if self._crashes:
            self._crash()
        else:
            self._take_up(self.execution.take_fresh(), self.execution.take_abandoned())

    def _take_up(self, fresh: Sequence[StepCommand], abandoned: Sequence[int]) -> None:
        for number in abandoned:
            if self.under_way.pop(number, None) is not None:
                self._coming = [one for one in self._coming if one[3].kind is RecordKind.SIGNAL or one[3].command != number]
                heapq.heapify(self._coming)
        for command in fresh:
            self.under_way[command.number] = command
            self._expect(self.at + self._lasts(command), attempt(command))

    def _crash(self) -> None:
        """Drop the run from memory and build it again. Attempts go on, as if begun anew and ended when the first ones would have."""
        self.execution.close()
        self.execution = new_execution(self.workflow, self.payload, self.run_id, self.seed)
        assert list(replay(self.execution, self.history)) == self.stands
        self.execution.went_live()
        self.execution.take_fresh()
        self.execution.take_abandoned()
        wanted = {command.number: command for command in self.execution.wanted()} if self.execution.outcome is None else {}
        for number, command in self.under_way.items():
            assert number not in wanted or (wanted[number].name, wanted[number].payload) == (command.name, command.payload)
        self._take_up(
            [command for number, command in wanted.items() if number not in self.under_way],
            [number for number in self.under_way if number not in wanted],
        )

    def _expect(self, when: Instant, record: Record) -> None:
        self._expected += 1
        heapq.heappush(self._coming, (when, 0 if self._is_plain else self._chance.getrandbits(32), self._expected, record))

    def _lasts(self, command: StepCommand) -> int:
        given = json.loads(command.payload).get("lasts")
        if given is None:
            given = 1 if self._is_plain else self._chance.choice([0, 0.5, 1, 1, 2, 7])
        return round(given * SECOND)


def attempt(command: StepCommand) -> Record:
    """Call the step as an engine would; its outcome without position and time."""
    try:
        args, kwargs = command.step.parameters.decode(command.payload)
        value: Any = command.step.function(*args, **kwargs)
        output = command.step.returns.encode(by_hand(value) if inspect.isawaitable(value) else value, limit=PAYLOAD_BYTES_MOST)
    except BaseException as error:
        failure = encode_failure(error, message_characters=1000, traceback_characters=0)
        kind = RecordKind.COMPENSATION_FAILED if command.is_compensation else RecordKind.STEP_FAILED
        return Record(0, 0, kind, command.name, command.number, command.digest, error=failure)
    kind = RecordKind.COMPENSATED if command.is_compensation else RecordKind.STEP
    return Record(0, 0, kind, command.name, command.number, command.digest, output=output)


def by_hand(awaitable: Any) -> object:
    """The result of a coroutine that does not wait."""
    try:
        awaitable.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("steps of sample workflows do not wait")


def replays_alike(engine: VirtualEngine) -> int:
    """A replay of the first k records stands where the first run stood after k records, for every k, and goes on from there alike.

    How many such replays there were.
    """
    for k in range(1, len(engine.history) + 1):
        execution = new_execution(engine.workflow, engine.payload, engine.run_id, engine.seed)
        litter = [[] for _ in range(k % 7)]  # so that objects come to lie at other addresses
        for stand in replay(execution, engine.history, live_after=k):
            assert stand == engine.stands[stand.position - 1], f"live after {k} records"
        execution.close()
        del litter
    return len(engine.history)
