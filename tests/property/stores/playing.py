"""Random lives of runs, played on two stores at once: whatever one answers the other has to answer, too."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields, is_dataclass, replace
from random import Random
from typing import Any

from perdure.clock import SECOND
from perdure.errors import PerdureError
from perdure.model.generations import RetryPoint
from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import RunState
from perdure.model.troubles import TroubleRow
from perdure.store.endings import Continue, Finish, Park, Quarantine, Release
from perdure.store.protocol import AttemptFailed, Change, Claimed, DueTimer, Intent, Store, Written
from tests.contract.acting import LEASE, ManualClock, Worker, new_run, signal, worker_row

RUNS, WORKERS, WORKFLOWS = 6, 3, ("flow", "other")
KEEP = {RunState.COMPLETED: 30 * SECOND, RunState.CANCELLED: 60 * SECOND}

Operation = Callable[["Side"], Awaitable[Any]]


class Side:
    """One of the stores, with a clock and workers of its own that do what those of the other side do."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.workers: dict[str, Worker] = {}


class Owned:
    """What both sides know of a run that a worker holds."""

    def __init__(self, worker: str, claimed: Claimed) -> None:
        row = claimed.row
        self.worker = worker
        self.id, self.generation = row.id, row.generation
        self.position = 1 if claimed.started else 0
        self.at = claimed.started.at if claimed.started else 0
        self.command = 0

    def change(self, records: list[NewRecord], **rest: Any) -> Change:
        return Change(self.id, self.generation, self.position, self.at, records, **rest)


class Game:
    """Draws what happens next from what both sides agree on, lets it happen on each, and compares."""

    def __init__(self, seed: int, one: Side, other: Side) -> None:
        self.seed = seed
        self.played: list[str] = []
        self._draw = Random(seed)
        self._sides = (one, other)
        self._owned: dict[str, Owned] = {}
        self._alive: list[str] = []
        self._born = 0
        self._sent = 0

    async def play(self, turns: int) -> None:
        moves = (
            [self._start] * 4 + [self._send] * 4 + [self._claim] * 5 + [self._write] * 12 + [self._person] * 4
            + [self._time] * 3 + [self._be_born] * 2 + [self._die] + [self._look] * 2 + [self._tidy]
        )  # fmt: skip
        await self._be_born()
        for _ in range(turns):
            await self._draw.choice(moves)()
        await self._end()

    async def _both(self, what: str, operation: Operation) -> Any:
        """The answer, which is the same of both, or an error of the same kind."""
        self.played.append(what)
        mine, theirs = [await answered(operation, side) for side in self._sides]
        if plain(mine) != plain(theirs):
            lines = [f"seed {self.seed}, move {len(self.played)}", *self.played[-12:], repr(plain(mine)), repr(plain(theirs))]
            raise AssertionError("\n".join(lines))
        return mine

    # ── what people and programs do ──────────────────────────────────────────────────────────────────────────────────

    def _some_run(self) -> str:
        return f"run-{self._draw.randrange(RUNS)}"

    async def _start(self) -> None:
        run = new_run(self._some_run(), self._draw.choice(WORKFLOWS), input_hash=self._draw.choice((b"one", b"two")))
        await self._both(f"start {run.id}", lambda side: side.store.start(run))

    async def _send(self) -> None:
        self._sent += 1
        key = self._draw.choice((None, f"key-{self._draw.randrange(4)}"))
        sent = signal(self._some_run(), f"signal-{self._sent:04}", self._draw.choice("ab"), b"%d" % self._sent, key)
        await self._both(f"send {sent.run_id} {sent.id} {key}", lambda side: side.store.send(sent, 4))

    async def _person(self) -> None:
        run_id, wish = self._some_run(), self._draw.choice(("cancel", "pause", "resume", "resume", "retry", "delete"))

        def ask(side: Side) -> Awaitable[None]:
            return side.store.cancel(run_id, 5 * SECOND) if wish == "cancel" else getattr(side.store, wish)(run_id)

        await self._both(f"{wish} {run_id}", ask)

    async def _time(self) -> None:
        seconds = self._draw.choice((0.001, 1, 7, 40))
        self.played.append(f"{seconds} s pass")
        for side in self._sides:
            side.clock.advance(seconds)

    # ── what workers do ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _be_born(self) -> None:
        if len(self._alive) >= WORKERS:
            return
        self._born += 1
        name = f"worker-{self._born}"
        for side in self._sides:
            side.workers[name] = Worker(side.store, name, *WORKFLOWS)
        await self._both(f"{name} is born", lambda side: side.store.register(worker_row(name, *WORKFLOWS), LEASE))
        self._alive.append(name)

    async def _die(self) -> None:
        if not self._alive:
            return
        name = self._draw.choice(self._alive)
        self._alive.remove(name)
        mine = sorted(run_id for run_id, run in self._owned.items() if run.worker == name)
        executing = [run_id for run_id in mine if self._draw.random() < 0.5]
        was_alone = len(mine) == 1
        if self._draw.random() < 0.5:
            await self._both(f"{name} dies in {executing}", lambda side: side.workers[name].dies(*executing, was_alone=was_alone))
        else:
            await self._both(f"{name} leaves", lambda side: side.store.retire(name))
        for run_id in mine:
            del self._owned[run_id]

    async def _claim(self) -> None:
        if not self._alive:
            return
        name = self._draw.choice(self._alive)
        is_alone = not any(run.worker == name for run in self._owned.values())
        found = await self._both(f"{name} claims", lambda side: side.workers[name].claim(is_alone=is_alone))
        for claimed in found if isinstance(found, list) else ():
            run = self._owned[claimed.row.id] = Owned(name, claimed)
            if claimed.started is None:
                history = await self._both(f"load {run.id}", lambda side, run=run: side.store.load([run.id]))
                loaded = history[run.id]
                run.position, run.at = loaded.records[-1].position, loaded.records[-1].at
                run.command = 1 + max([record.command or 0 for record in loaded.records])

    async def _write(self) -> None:
        if not self._owned:
            return
        run = self._owned[self._draw.choice(sorted(self._owned))]
        change = self._change(run)
        what = f"{run.worker} writes {run.id}: {[str(one.kind) for one in change.records]} {type(change.ending).__name__}"
        found = await self._both(what, lambda side: side.workers[run.worker].commit(change))
        if isinstance(found, Exception):
            return
        self._take_in(run, found.written[0])

    def _take_in(self, run: Owned, written: Written) -> None:
        for record in written.records:
            run.position, run.at = record.position, record.at
        if written.has_left:
            del self._owned[run.id]

    def _change(self, run: Owned) -> Change:
        draw = self._draw
        records, rest = [], {}
        for _ in range(draw.choice((0, 1, 1, 3))):
            run.command += 1
            records.append(NewRecord(RecordKind.STEP, "work", run.command, b"digest", None, b"%d" % run.command, None, 1))
        if records and draw.random() < 0.3:
            rest["settled"] = (run.command,)
        if draw.random() < 0.2:
            run.command += 1
            at = self._sides[0].clock.now()
            rest["failures"] = (AttemptFailed(run.command, "work", b"digest", 1, at, at + SECOND, b"{}"),)
        if draw.random() < 0.1:
            run.command += 1
            rest["intents"] = (Intent(run.command, "work", b"digest"),)
        if draw.random() < 0.2:
            rest["note"] = b"%d" % draw.randrange(9)
        if draw.random() < 0.3:
            rest["issued"] = run.command
        if draw.random() < 0.4:
            now = self._sides[0].clock.now()
            rest["reads_inbox"] = True
            rest["due"] = tuple(DueTimer(now + draw.choice((-SECOND, 0, SECOND)), number) for number in range(draw.choice((0, 1, 2))))
        if draw.random() < 0.4:
            rest["ending"] = self._ending(run, len(records))
            rest["reads_inbox"] = not isinstance(rest["ending"], Finish | Quarantine | Continue | Release)
        return run.change(records, **rest)

    def _ending(self, run: Owned, records: int) -> Any:
        wake_at = self._draw.choice((None, self._sides[0].clock.now() + 3 * SECOND))
        retry = NewRecord(RecordKind.FAILED, "flow", input=RetryPoint(run.position + records + 1).encoded(), error=b"{}")
        return self._draw.choice(
            (
                Park(wake_at, b"[]"),
                Park(wake_at, b"[]"),
                Release(),
                Finish(RunState.COMPLETED, NewRecord(RecordKind.COMPLETED, "flow", output=b"1")),
                Finish(RunState.FAILED, retry),
                Quarantine(b"{}"),
                Continue(NewRecord(RecordKind.CONTINUED, "flow"), b"{}", python="3.11"),
            )
        )

    # ── what everybody sees ──────────────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> None:
        name = self._alive[0] if self._alive else "nobody"
        await self._both("survey", lambda side: side.store.survey(WORKFLOWS))
        await self._both("outlook", lambda side: side.store.outlook(WORKFLOWS, name, 10))
        await self._both("wake what was missed", lambda side: side.store.wake_missed())

    async def _tidy(self) -> None:
        await self._both("purge", lambda side: side.store.purge(KEEP, 100, 1000))
        await self._both("forget", lambda side: side.store.forget_outdated(100))
        await self._both("stranded", lambda side: side.store.note_stranded(20 * SECOND, 10))
        await self._both("troubles", lambda side: side.store.take_troubles(10, 30 * SECOND))

    async def _end(self) -> None:
        await self._look()
        for number in range(RUNS):
            run_id = f"run-{number}"
            for method in ("run", "history", "attempts", "wanted", "last_record"):
                await self._both(f"{method} {run_id}", lambda side, method=method, run_id=run_id: getattr(side.store, method)(run_id))
        await self._both("all runs", lambda side: side.store.runs())
        await self._both("counts", lambda side: side.store.counts())
        await self._both("workers", lambda side: side.store.workers())
        await self._both("undelivered", lambda side: side.store.undelivered(100))


async def answered(operation: Operation, side: Side) -> Any:
    try:
        async with asyncio.timeout(60):
            return await operation(side)
    except PerdureError as error:
        return error


def plain(answer: Any) -> Any:
    """As it is compared: errors by their kind, and what has no order in an order."""
    if isinstance(answer, Exception):
        return type(answer).__name__
    if isinstance(answer, Claimed):
        answer = replace(answer, loaded=None)  # comes along where that is cheap
    if is_dataclass(answer) and not isinstance(answer, type):
        return [plain(getattr(answer, field.name)) for field in fields(answer)]
    if isinstance(answer, dict):
        return sorted(((str(key), plain(value)) for key, value in answer.items()), key=lambda pair: pair[0])
    if isinstance(answer, set | frozenset):
        return sorted(map(repr, answer))
    if isinstance(answer, tuple) and hasattr(answer, "_fields"):
        return [plain(one) for one in answer]
    if isinstance(answer, list | tuple):
        found = [plain(one) for one in answer]
        return sorted(found, key=repr) if answer and isinstance(answer[0], Claimed | TroubleRow) else found
    return answer
