"""What happens to processes, clocks and the machine while the world is not healed."""

import gc
from collections.abc import Callable, Sequence

from tests.simulation.faults import Faults
from tests.simulation.hosts import ClientHost, Machine, WorkerHost
from tests.simulation.loop import SECOND


class Chaos:
    def __init__(self, machine: Machine, workers: Sequence[WorkerHost], clients: Sequence[ClientHost]) -> None:
        self._machine = machine
        self._world = machine.world
        self._faults: Faults = machine.faults
        self._workers = workers
        self._clients = clients
        self._random = machine.world.random("chaos")
        self._lease = machine.faults.swarm.settings.lease_seconds
        happenings: dict[str, Callable[[], object]] = {
            "kill": self._kill,
            "pause": self._pause,
            "stop": self._stop,
            "jump": self._jump,
            "outage": self._outage,
            "renewals": self._deafen,
            "clients": self._kill_client,
            "suspend": self._suspend,
            "collect": gc.collect,
        }
        self._happenings = [happens for fault, happens in happenings.items() if self._faults.swarm.has(fault)]

    def begin(self) -> None:
        if self._happenings:
            self._world.later(self._pause_between(), self._happen)

    def _pause_between(self) -> int:
        return round(self._random.expovariate(self._faults.swarm.rate / 3) * SECOND)

    def _happen(self) -> None:
        if not self._faults.is_healed:
            self._random.choice(self._happenings)()
            self._world.later(self._pause_between(), self._happen)

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _kill(self) -> None:
        host = self._random.choice(self._workers)
        if host.process is not None:
            host.process.kill()

    def _kill_client(self) -> None:
        host = self._random.choice(self._clients)
        if host.process is not None:
            host.process.kill()

    def _pause(self) -> None:
        host = self._random.choice(self._workers)
        if host.process is not None and host.is_up:
            seconds = self._random.choice((0.1, 0.9 * self._lease, 2 * self._lease, 4 * self._lease))
            self._world.note(f"{host.process.label} stands still for {seconds} s")
            host.process.paused_until = self._world.now + round(seconds * SECOND)

    def _stop(self) -> None:
        host = self._random.choice(self._workers)
        host.stop()
        match self._random.randrange(4):
            case 0:
                self._world.later(self._random.randrange(SECOND), host.hurry)
            case 1 if self._faults.swarm.has("kill") and host.process is not None:
                self._world.later(self._random.randrange(SECOND // 4), host.process.kill)

    # ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _jump(self) -> None:
        seconds = self._random.choice((-3600, -30, -1, 1, 30, 3600)) * self._random.random()
        self._world.note(f"the wall clock jumps by {seconds:.3f} s")
        self._world.set_clock(round(seconds * SECOND))

    def _outage(self) -> None:
        host = self._random.choice((None, *self._workers))
        seconds = self._random.choice((0.3, 0.9 * self._lease, 2 * self._lease))
        self._world.note(f"the store is out of reach of {'everybody' if host is None else host.name} for {seconds} s")
        self._faults.begin_outage(seconds, None if host is None else host.process)

    def _deafen(self) -> None:
        host = self._random.choice(self._workers)
        if host.process is not None:
            self._faults.begin_deafness(3 * self._lease, host.process)

    def _suspend(self) -> None:
        seconds = self._random.choice((0.5 * self._lease, 3 * self._lease, 3600, 86_400))
        self._world.note(f"the machine sleeps for {seconds} s")
        self._world.now += round(seconds * SECOND)
