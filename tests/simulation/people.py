"""Those who start runs and send signals, repeat what they do not know the outcome of, and look whether what was acknowledged is there."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

from perdure import Client
from perdure.engine.ports import Ports
from perdure.errors import InboxFull, RunConflict, RunEnded, RunNotFound, StoreError, StoreFailed
from perdure.settings import Settings
from tests.simulation.audit import Auditor
from tests.simulation.programs import TOPICS, random_program
from tests.simulation.swarm import Swarm
from tests.simulation.world import World


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
class Flow:
    """One thing after another, by whichever life of a process plays it; what was acknowledged is not done again."""

    name: str
    world: World
    auditor: Auditor
    random: Random
    intentions: list[Start | Send] = field(default_factory=list)
    done: int = 0

    @property
    def is_done(self) -> bool:
        return self.done == len(self.intentions)

    async def play(self, client: Client) -> None:
        while not self.is_done:
            await asyncio.sleep(self.random.choice((0, 0.01, 0.1, 0.7)))
            await self._carry_out(client, self.intentions[self.done])
            self.done += 1

    async def _carry_out(self, client: Client, intention: Start | Send) -> None:
        while True:
            try:
                if isinstance(intention, Start):
                    await self._start(client, intention)
                else:
                    await self._send(client, intention)
                return
            except StoreFailed:
                raise  # only a new process helps
            except (StoreError, RunNotFound, InboxFull) as error:
                self.world.note(f"{self.name}: {type(error).__name__}, tries again")
                if isinstance(error, InboxFull):
                    self.world.saw("an inbox was full")
                    if self.auditor.shadow.runs[intention.run_id].state == "quarantined":
                        return
                await asyncio.sleep(self.random.choice((0.01, 0.2, 1.0)))

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _start(self, client: Client, intention: Start) -> None:
        run = await client.start(intention.workflow, intention.program, id=intention.run_id)
        self._is_acknowledged(intention.run_id in self.auditor.shadow.runs, f"the start of {intention.run_id}")
        for _ in range(intention.repeats):
            await client.start(intention.workflow, intention.program, id=intention.run_id)
            await self._conflicts(client, intention)
            if (await run.status()).id != intention.run_id:
                self.world.violate(f"I23: {intention.run_id} was started and is not shown")

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
            await run.signal(intention.topic, intention.payload, key=intention.key)
        except RunEnded:
            if key in self.auditor.shadow.runs[intention.run_id].keys:
                self.world.violate(f"M22: {intention.key} was sent to {intention.run_id} before its end, and its repeat is refused")
            self.world.saw("a signal came after the end")
            return
        self._is_acknowledged(key in self.auditor.shadow.runs[intention.run_id].keys, f"signal {intention.key} to {intention.run_id}")
        for number in range(intention.repeats):
            await run.signal(intention.topic, {**intention.payload, "repeat": number}, key=intention.key)
            self.world.saw("a signal was repeated")

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
        store = self._ports.open_store(self._url, namespace=self._namespace, clock=self._clock)
        self._opened = await self._open(store, create=False, migrate=False)
        return self


def flows_of(swarm: Swarm, world: World, auditor: Auditor, count: int) -> list[Flow]:
    """The seed's runs and signals, dealt to this many flows."""
    draw = world.random("plan")
    flows = [Flow(f"flow{number}", world, auditor, world.random(f"flow/{number}")) for number in range(count)]
    for number in range(swarm.runs):
        run_id, workflow = f"r{number}", draw.choice(("play", "play", "play_also"))
        with_huge = swarm.has("refusals") and draw.random() < 0.2
        program = random_program(draw, with_huge=with_huge)
        if with_huge:
            auditor.quarantine_expected.add(run_id)
        draw.choice(flows).intentions.append(Start(run_id, workflow, program, draw.choice((0, 0, 1))))
        for order in range(draw.choice((0, 1, 3, 8))):
            flow = draw.choice(flows)
            payload = {"flow": flow.name, "order": len(flow.intentions), "key": f"k{order}"}
            flow.intentions.append(Send(run_id, draw.choice(TOPICS), payload, f"k{order}", draw.choice((0, 0, 1, 2))))
    return flows
