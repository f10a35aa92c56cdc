"""Those who start runs and send signals, repeat what they do not know the outcome of, and look whether what was acknowledged is there."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from perdure import Client
from perdure.codec.values import encode
from perdure.engine.ports import Ports
from perdure.errors import (
    InboxFull,
    NotRetryable,
    RunCancelled,
    RunConflict,
    RunEnded,
    RunFailed,
    RunNotEnded,
    RunNotFound,
    StoreError,
    StoreFailed,
    StoreUnavailable,
)
from perdure.settings import Settings
from tests.simulation.audit import Auditor
from tests.simulation.looking import list_runs, look_at_run
from tests.simulation.programs import TOPICS, random_program
from tests.simulation.swarm import Swarm
from tests.simulation.world import World

T = TypeVar("T")


@dataclass(slots=True)
class Start:
    run_id: str
    workflow: str
    program: list[dict[str, Any]]
    repeats: int


@dataclass(slots=True)
class Send:
    run_id: str
    topic: str
    payload: dict[str, Any]
    key: str
    repeats: int


@dataclass(slots=True)
class Await:
    run_id: str
    seconds: float


@dataclass(slots=True)
class Order:
    """What somebody wants of a run: cancel, pause, resume, retry or delete it."""

    run_id: str
    verb: str
    repeats: int


@dataclass(slots=True)
class Look:
    """At one run, and at the list of all."""

    run_id: str


Intention = Start | Send | Await | Order | Look


@dataclass(slots=True)
class Flow:
    """One thing after another, by whichever life of a process plays it; what was acknowledged is not done again."""

    name: str
    world: World
    auditor: Auditor
    random: Random
    intentions: list[Intention] = field(default_factory=list)
    done: int = 0
    moved_at: int = 0

    @property
    def is_done(self) -> bool:
        return self.done == len(self.intentions)

    async def play(self, client: Client) -> None:
        while not self.is_done:
            await asyncio.sleep(self.random.choice((0, 0.01, 0.1, 0.7)))
            await self._carry_out(client, self.intentions[self.done])
            self.done += 1
            self.moved_at = self.world.now

    async def _carry_out(self, client: Client, intention: Intention) -> None:
        while True:
            try:
                match intention:
                    case Start():
                        await self._start(client, intention)
                    case Send():
                        await self._send(client, intention)
                    case Await():
                        await self._await(client, intention)
                    case Order():
                        await self._order(client, intention)
                    case Look(run_id=run_id):
                        await look_at_run(client, self.world, self.auditor.shadow, run_id)
                        await list_runs(client, self.world, self.auditor.shadow)
                return
            except StoreFailed:
                raise  # only a new process helps
            except (StoreError, RunNotFound, InboxFull) as error:
                if isinstance(error, RunNotFound | InboxFull) and intention.run_id in self.auditor.shadow.deleted:
                    return  # it was full, and by now the run has ended and is gone
                self.world.note(f"{self.name}: {type(error).__name__}, tries again")
                if isinstance(error, InboxFull):
                    self.world.saw("an inbox was full")
                    if self.auditor.shadow.runs[intention.run_id].state in ("quarantined", "paused"):
                        return
                await asyncio.sleep(self.random.choice((0.01, 0.2, 1.0)))

    async def _told_the_truth(self, intention: Start | Send, call: Awaitable[T]) -> T:
        """StoreUnavailable says that nothing was written."""
        was_there = self._is_there(intention)
        try:
            return await call
        except StoreUnavailable:
            if self._is_there(intention) and not was_there:
                self.world.violate(f"I20: {intention} was refused as StoreUnavailable, and is there")
            raise

    def _is_there(self, intention: Intention) -> bool:
        run = self.auditor.shadow.runs.get(intention.run_id)
        return run is not None and (not isinstance(intention, Send) or f"key:{intention.key}" in run.keys)

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _start(self, client: Client, intention: Start) -> None:
        run = await self._told_the_truth(intention, client.start(intention.workflow, intention.program, id=intention.run_id))
        shadow = self.auditor.shadow
        self._is_acknowledged(intention.run_id in {*shadow.runs, *shadow.deleted}, f"the start of {intention.run_id}")
        for _ in range(0 if intention.run_id in shadow.deleted else intention.repeats):
            await client.start(intention.workflow, intention.program, id=intention.run_id)
            await self._conflicts(client, intention)
            if (await run.status()).id != intention.run_id:
                self.world.violate(f"I23: {intention.run_id} was started and is not shown")

    async def _order(self, client: Client, intention: Order) -> None:
        call = getattr(client.run(intention.run_id), intention.verb)
        if intention.verb == "delete":
            self.auditor.deletion_wanted.add(intention.run_id)
        for _ in range(1 + intention.repeats):
            try:
                await self._unless_refused(intention, call)
            except (RunEnded, RunNotEnded, NotRetryable) as error:
                self.world.saw(f"refused to {intention.verb}: {type(error).__name__}")
                return
            self.world.note(f"{self.name}: {intention} is acknowledged")
            self._was_ordered(intention)

    async def _unless_refused(self, intention: Order, call: Callable[[], Awaitable[None]]) -> None:
        run = self.auditor.shadow.runs.get(intention.run_id)
        was_final, was_failed = run is not None and run.is_final, run is not None and run.state == "failed"
        try:
            await call()
        except RunEnded:
            if not was_final and not self._has_ended(intention.run_id):
                self.world.violate(f"G13: {intention} was refused as ended, and it has not")
            raise
        if was_failed and intention.verb in ("cancel", "pause", "resume") and self._is_still(intention.run_id, "failed"):
            self.world.violate(f"G13: {intention} of a failed run was taken")

    def _has_ended(self, run_id: str) -> bool:
        run = self.auditor.shadow.runs.get(run_id)
        return run is None or run.is_final

    def _is_still(self, run_id: str, state: str) -> bool:
        run = self.auditor.shadow.runs.get(run_id)
        return run is not None and run.state == state

    def _was_ordered(self, intention: Order) -> None:
        run = self.auditor.shadow.runs.get(intention.run_id)
        if run is None:
            return
        if intention.verb == "cancel":
            run.is_to_be_cancelled = True
            self.world.saw("a run was to be cancelled")
        if intention.verb == "pause" and run.state == "paused":
            self.world.saw("a run was paused")

    async def _conflicts(self, client: Client, intention: Start) -> None:
        try:
            await client.start(intention.workflow, [*intention.program, {"do": "values"}], id=intention.run_id)
        except RunConflict:
            return
        self.world.violate(f"G6: {intention.run_id} was started again with other input, and nobody minded")

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, client: Client, intention: Send) -> None:
        run = client.run(intention.run_id)
        key = f"key:{intention.key}"
        try:
            await self._told_the_truth(intention, run.signal(intention.topic, intention.payload, key=intention.key))
        except RunEnded:
            if intention.run_id in self.auditor.shadow.deleted:
                return
            if key in self.auditor.shadow.runs[intention.run_id].keys and not self.auditor.shadow.runs[intention.run_id].retries:
                self.world.violate(f"M22: {intention.key} was sent to {intention.run_id} before its end, and its repeat is refused")
            self.world.saw("a signal came after the end")
            return
        if intention.run_id in self.auditor.shadow.deleted:
            return
        self._is_acknowledged(key in self.auditor.shadow.runs[intention.run_id].keys, f"signal {intention.key} to {intention.run_id}")
        for number in range(intention.repeats):
            await run.signal(intention.topic, {**intention.payload, "repeat": number}, key=intention.key)
            self.world.saw("a signal was repeated")

    async def _await(self, client: Client, intention: Await) -> None:
        try:
            result = encode(await client.run(intention.run_id).result(timeout=intention.seconds), Any, what="result", limit=1 << 20)
        except TimeoutError:
            return
        except (RunFailed, RunCancelled):
            result = None
        if intention.run_id in self.auditor.shadow.deleted:
            return
        run = self.auditor.shadow.runs[intention.run_id]
        self.world.saw("a result was waited for")
        if run.retries:
            return  # the result may be the one before
        if not run.is_final or result != run.records[-1]["output"]:
            self.world.violate(f"I23: the result of {run.id} is given as {result!r}, it is {run.state} with {run.records[-1]}")

    def _is_acknowledged(self, is_there: bool, what: str) -> None:
        self.world.note(f"{self.name}: {what} is acknowledged")
        if not is_there:
            self.world.violate(f"I20: {what} was acknowledged and is not on disk")


class VirtualClient(Client):
    """The shipped client with the ports of a simulated process."""

    def __init__(self, ports: Ports, settings: Settings) -> None:
        super().__init__("sqlite:///virtual.db", settings=settings)
        self._ports = ports
        self._clock = ports.clock
        self._entropy = ports.entropy

    async def __aenter__(self) -> "VirtualClient":
        store = self._ports.open_store(self._url, namespace=self._namespace, clock=self._clock, settings=self._settings)
        self._opened = await self._open(store, create=False, migrate=False)
        return self


def flows_of(swarm: Swarm, world: World, auditor: Auditor, count: int) -> list[Flow]:
    """The seed's runs, signals and orders, dealt to this many flows. What concerns a run comes after its start: nobody waits in a ring."""
    draw = world.random("plan")
    flows = [Flow(f"flow{number}", world, auditor, world.random(f"flow/{number}")) for number in range(count)]
    left: list[tuple[Flow, str, list[str]]] = []
    for number in range(swarm.runs):
        run_id, workflow = f"r{number}", draw.choice(("play", "play", "play_also"))
        with_huge = swarm.has("refusals") and draw.random() < 0.2
        program = random_program(draw, with_huge=with_huge)
        if with_huge:
            auditor.quarantine_expected.add(run_id)
        draw.choice(flows).intentions.append(Start(run_id, workflow, program, draw.choice((0, 0, 1))))
        left += [(draw.choice(flows), run_id, list(verbs)) for verbs in draw.sample(ORDERS, draw.choice((0, 0, 1, 2)))]
        for order in range(draw.choice((0, 1, 3, 8))):
            flow = draw.choice(flows)
            if draw.random() < 0.15:
                flow.intentions.append(Await(run_id, draw.choice((0.5, 3, 15))))
            payload = {"flow": flow.name, "order": len(flow.intentions), "key": f"k{order}"}
            flow.intentions.append(Send(run_id, draw.choice(TOPICS), payload, f"k{order}", draw.choice((0, 0, 1, 2))))
            give_orders(draw, left, 0.3)
    while left:
        give_orders(draw, left, 0.5)
    take_looks(world.random("looks"), flows)
    return flows


def take_looks(draw: Random, flows: list[Flow]) -> None:
    """Between whatever else there is to do."""
    for flow in flows:
        run_ids = sorted({intention.run_id for intention in flow.intentions})
        for _ in range(draw.choice((0, 0, 1, 3)) if run_ids else 0):
            flow.intentions.insert(draw.randint(0, len(flow.intentions)), Look(draw.choice(run_ids)))


def give_orders(draw: Random, left: list[tuple[Flow, str, list[str]]], chance: float) -> None:
    """Of each that is left, perhaps the next."""
    for flow, run_id, verbs in left:
        if verbs and draw.random() < chance:
            if verbs[0] in ("retry", "delete"):  # of a run that has ended
                flow.intentions.append(Await(run_id, draw.choice((3, 15))))
            flow.intentions.append(Order(run_id, verbs.pop(0), draw.choice((0, 0, 1))))
    left[:] = [one for one in left if one[2]]


ORDERS = (("cancel",), ("pause", "resume"), ("pause", "resume"), ("pause", "resume", "cancel"), ("retry",), ("retry",), ("delete",))
