"""What bodies of steps did, kept outside the database: the oracle of who ran what, when, and what came of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import apsw

from perdure import Info
from tests.simulation.bookings import Bookings
from tests.simulation.loop import SECOND
from tests.simulation.programs import Op
from tests.simulation.rows import Shadow
from tests.simulation.world import World

TRANSACTIONAL = frozenset({"book", "book_huge"})
"""Whose bodies may be performed again until a transaction with one of them is committed."""


@dataclass(slots=True, eq=False)
class Effect:
    """One body that began."""

    ledger: "Ledger"
    run_id: str
    command: int
    attempt: int
    incarnation: str
    serial: int
    step: str
    place: int
    """In its program. Another one under the same command: newer code asks for another step where nothing was recorded."""
    resumptions: int
    """How often its run had been resumed or retried, which gives up what is under way."""
    retries: int
    life: int
    ended: str | None = None

    def end(self, outcome: BaseException | None) -> Any:
        """The result, or the exception to be raised."""
        self.ended = "returned" if outcome is None else type(outcome).__name__
        if not self.ledger.is_watching(self):
            return outcome
        self.ledger.world.note(f"body of {self.run_id}/{self.command} attempt {self.attempt} ends: {self.ended}")
        if outcome is None:
            return {"serial": self.serial, **({"is_booked": True} if self.step in TRANSACTIONAL else {})}
        if isinstance(outcome, asyncio.CancelledError):
            return outcome
        raise outcome


@dataclass(slots=True)
class Ledger:
    """Checks each beginning against what is on disk at that moment."""

    world: World
    shadow: Shadow
    bookings: Bookings
    effects: list[Effect] = field(default_factory=list)
    by_command: dict[tuple[str, int, int], list[Effect]] = field(default_factory=dict)

    def begin(self, info: Info, op: Op, seen: int) -> Effect:
        _, run_id, generation, command = (info.idempotency_key or "").split("/")
        token = info.fencing_token or ""
        number, _, incarnation = token.partition("-")
        run = self.shadow.runs[run_id]
        if token < run.token or int(number) != run.fencing:
            self.world.violate(f"G10: run {run_id} was claimed under {run.fencing}, and a body has the token {token} after {run.token}")
        run.token = max(run.token, token)
        place = (self, run_id, int(command), info.attempt or 0, incarnation, len(self.effects), op["step"], op["place"])
        effect = Effect(*place, run.resumptions, run.retries, run.life)
        before = self.by_command.setdefault((run_id, int(generation), effect.command), [])
        self.world.note(f"body of {run_id}/{command} attempt {effect.attempt} begins in {incarnation}: {op['step']} {op['place']}")
        self._check(effect, before, seen)
        if before and before[-1].incarnation != incarnation and before[-1].attempt == effect.attempt:
            self.world.saw("a step ran again after its worker had gone")
        self.effects.append(effect)
        before.append(effect)
        return effect

    def book(self, db: apsw.Connection, info: Info, op: Op, seen: int) -> Effect:
        """The beginning of a body that writes to the run's own database."""
        effect = self.begin(info, op, seen)
        if not self.is_first(effect) and effect.attempt == 1:
            self.world.saw("a transactional step was performed again")
        self.bookings.book(db, f"{info.idempotency_key}, life {effect.life}", effect.serial)
        return effect

    def is_first(self, effect: Effect) -> bool:
        """Whether no body of its command was begun before."""
        return not any(one.serial < effect.serial and one.command == effect.command for one in self.effects if one.run_id == effect.run_id)

    def _check(self, effect: Effect, before: list[Effect], seen: int) -> None:
        run = self.shadow.runs[effect.run_id]
        where = f"step {effect.step}, command {effect.command} of run {effect.run_id}, attempt {effect.attempt} in {effect.incarnation}"
        attempt = run.attempts.get(effect.command)
        failures = 0 if attempt is None else attempt["failures"]
        worker = self.shadow.workers.get(effect.incarnation)
        checks: list[tuple[bool, Callable[[], str]]] = [
            (effect.command not in run.steps, lambda: f"I2: {where} began though its outcome is recorded"),
            (run.state == "running", lambda: f"I2: {where} began though the run is {run.state}"),
            (
                len(run.records) > seen,
                lambda: f"I20: {where} began after the code had been told {seen} things, but {len(run.records)} records are on disk",
            ),
            (
                run.to_be_retried.get(effect.command, effect.step) == effect.step,
                lambda: f"M24: {where} has the key of {run.to_be_retried[effect.command]}, which is to be retried",
            ),
            (effect.attempt == failures + 1, lambda: f"M27: {where} began though {failures} failures are recorded"),
            (
                effect.step in TRANSACTIONAL or not any(same_life(one, effect) for one in before),
                lambda: f"G3: {where} began twice in one life of a worker",
            ),
            (worker is not None and worker["state"] == "live", lambda: f"G10: {where} began after its worker had been declared dead"),
            (run.owner == effect.incarnation, lambda: f"G10: {where} began though the run belongs to {run.owner}"),
        ]
        if attempt is not None and attempt["next_at"] is not None:
            left = attempt["next_at"] - self.world.wall_highest  # it may have waited for a slot while the clock went back
            checks.append((left <= 0, lambda: f"M27: {where} began {left / SECOND} s before the end of its back-off"))
        if effect.step in ("act_once", "act_twice"):
            intent = None if attempt is None else attempt["intent"]
            checks += [
                (intent == effect.incarnation, lambda: f"G4: {where} began without its intent on disk ({intent})"),
                (
                    not any((one.place, one.attempt, one.retries) == (effect.place, effect.attempt, effect.retries) for one in before),
                    lambda: f"G4: {where} began a second time",
                ),
            ]
        for holds, text in checks:
            if not holds:
                self.world.violate(text())

    def forget(self, run_id: str) -> None:
        """The run was deleted; another may come under its id."""
        for key in [key for key in self.by_command if key[0] == run_id]:
            del self.by_command[key]

    def is_watching(self, effect: Effect) -> bool:
        """Of a process that is dead, the collector's end of its coroutines is nobody's concern."""
        return self.shadow.hosts[effect.incarnation] in {process.label for process in self.world.alive}

    def check_recorded(self, run_id: str, generation: int, command: int, attempt: int, serial: int | None) -> None:
        """A recorded outcome is that of a body that ran: `serial` for a result, None for a failure."""
        effects = [one for one in self.by_command.get((run_id, generation, command), ()) if one.attempt == attempt]
        if serial is None:
            return
        if not any(one.serial == serial and one.ended == "returned" for one in effects):
            self.world.violate(
                f"I2: run {run_id}, command {command}: the recorded result of attempt {attempt} was never returned ({serial})"
            )


def same_life(one: Effect, other: Effect) -> bool:
    facts = [(effect.place, effect.attempt, effect.incarnation, effect.resumptions) for effect in (one, other)]
    return facts[0] == facts[1]
