"""Which fault comes now: drawn from the seed, until the world is healed."""

from enum import Enum

from tests.simulation.loop import SECOND
from tests.simulation.swarm import Swarm
from tests.simulation.world import Process, World


class Trouble(Enum):
    """What becomes of one transaction."""

    NONE = "ok"
    REFUSED = "refused at its begin"
    FULL = "the disk is full in its middle"
    BUSY = "busy at its COMMIT"
    LOST = "committed, reported as failed"
    UNDONE = "not committed, reported as failed"
    SYNC_LOST = "committed, the sync reported as failed"
    SYNC_UNDONE = "not committed, the sync reported as failed"
    KILLED_BEFORE = "killed before its COMMIT"
    KILLED_AFTER = "killed after its COMMIT"


AT_COMMIT = frozenset(Trouble) - {Trouble.NONE, Trouble.REFUSED, Trouble.FULL}
CHANCES = (
    # fault, chance in a transaction, what comes
    ("unavailable", 0.012, Trouble.REFUSED),
    ("unavailable", 0.006, Trouble.FULL),
    ("unavailable", 0.006, Trouble.BUSY),
    ("lost", 0.02, Trouble.LOST),
    ("undone", 0.02, Trouble.UNDONE),
    ("sync", 0.001, Trouble.SYNC_LOST),
    ("sync", 0.001, Trouble.SYNC_UNDONE),
    ("kill", 0.002, Trouble.KILLED_BEFORE),
    ("kill", 0.003, Trouble.KILLED_AFTER),
)


class Faults:
    def __init__(self, world: World, swarm: Swarm) -> None:
        self.world = world
        self.swarm = swarm
        self.is_healed = False
        self._random = world.random("faults")
        self._loses_every_hint = self._random.random() < 0.5
        self._outages: list[tuple[int, Process | None]] = []
        self._deaf: list[tuple[int, Process]] = []

    def heal(self) -> None:
        self.is_healed = True
        self._outages.clear()
        self._deaf.clear()

    def chance(self, fault: str, probability: float) -> bool:
        if self.is_healed or not self.swarm.has(fault):
            return False
        return self._random.random() < probability * self.swarm.rate

    # ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def of_transaction(self, process: Process) -> Trouble:
        if self.is_cut_off(process):
            return Trouble.REFUSED
        for fault, probability, trouble in CHANCES:
            if self.chance(fault, probability):
                return trouble
        return Trouble.NONE

    def refuses_renewal(self, process: Process) -> bool:
        is_deaf = any(one is process and until > self.world.now for until, one in self._deaf)
        return is_deaf or self.is_cut_off(process) or self.chance("renewals", 0.1)

    def refuses_read(self, process: Process) -> bool:
        return self.is_cut_off(process) or self.chance("unavailable", 0.01)

    def is_cut_off(self, process: Process) -> bool:
        return any(until > self.world.now and one in (None, process) for until, one in self._outages)

    def begin_outage(self, seconds: float, process: Process | None) -> None:
        self._outages.append((self.world.now + round(seconds * SECOND), process))

    def begin_deafness(self, seconds: float, process: Process) -> None:
        self._deaf.append((self.world.now + round(seconds * SECOND), process))

    # ── how long it takes ────────────────────────────────────────────────────────────────────────────────────────────

    def delay(self) -> int:
        """Of one thing that a thread of the store does."""
        if self.chance("slow", 0.02):
            return self._random.randrange(round(1.5 * self.swarm.settings.lease_seconds * SECOND))
        return self._random.randrange(2_000)

    def hint_delays(self) -> list[int]:
        """One for each time that the hint comes."""
        if self.is_healed or not self.swarm.has("hints"):
            return [self._random.randrange(20_000)]
        if self._loses_every_hint:
            return []
        count = self._random.choice((0, 0, 0, 1, 1, 2))
        return [self._random.randrange(self._random.choice((20_000, 3 * SECOND))) for _ in range(count)]
