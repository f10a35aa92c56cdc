"""One store, its ledger, and the processes around it."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from perdure.clock import HostClock
from tests.crash import checker
from tests.crash.effects import EffectServer
from tests.crash.options import QUICK, Action, Lane, Options
from tests.crash.processes import Process, Zygote, start_program
from tests.crash.store_view import StoreView
from tests.waiting import PATIENCE_SECONDS, wait_until

T = TypeVar("T")


class Harness:
    """`view` reads a store that is elsewhere, `path` is then its address."""

    def __init__(self, zygote: Zygote, folder: Path, path: str | None = None, view: StoreView | None = None) -> None:
        self.settings = dict(QUICK)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = path or str(folder / "store.db")
        self.through: str | None = None  # the address that processes are given, if another one
        self.gates = folder / "gates"
        self.server = EffectServer()
        self.store = view or StoreView(self.path)
        self.processes: list[Process] = []
        self.resuming: dict[str, Process] = {}
        self._zygote = zygote

    def __enter__(self) -> Self:
        self.gates.mkdir()
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Idempotent."""
        if not self.gates.exists():
            return
        for process in self.processes:
            process.kill()
        self.store.close()
        self.server.__exit__()
        for gate in self.gates.iterdir():
            gate.unlink()
        self.gates.rmdir()

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def options(self, settings: dict[str, Any] | None = None, **more: Any) -> Options:
        store = more.pop("store", self.through or self.path)
        return Options(store, self.server.path, str(self.gates), settings=self.settings | (settings or {}), **more)

    def launch(self, program: Sequence[str] | None = None, **more: Any) -> Process:
        """A process that may not even become ready. `program`: a Python of its own, behind this prefix."""
        options, log = self.options(**more), self.folder / f"{len(self.processes)}.log"
        process = self._zygote.start(options, log) if program is None else start_program(options, log, program)
        self.processes.append(process)
        return process

    def worker(self, program: Sequence[str] | None = None, **more: Any) -> Process:
        """A worker, ready."""
        seen = len(self.server.of("ready"))
        process = self.launch(program, **more)
        self.wait(lambda: len(self.server.of("ready")) > seen or not process.lives, f"process {process.pid} is ready")
        return process

    def client(self, *lanes: Lane) -> Process:
        return self.launch(role="client", lanes=lanes)

    def act(self, *lanes: Lane) -> None:
        """Let a client do all this, and be acknowledged."""
        status = self.client(*lanes).wait()
        assert status == 0, self.said()

    def open_gate(self, name: str) -> None:
        (self.gates / name).touch()

    def pause_between_commits(self, process: Process) -> None:
        """Stop it while it does not hold the store's lock, which would keep everybody from writing."""
        while True:
            process.pause()
            if self.store.is_writable():
                return
            process.resume()

    # ── waiting and checking ─────────────────────────────────────────────────────────────────────────────────────────

    def wait(self, condition: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
        return wait_until(condition, what, seconds, self.said)

    def wait_for_begin(self, step: str, **wanted: Any) -> int:
        """The pid of the process in which such a body has begun."""
        return self.wait(lambda: self.server.of("begin", step=step, **wanted), f"{step} begins ({wanted})")[-1].pid

    def wait_for_end(self, seconds: float = PATIENCE_SECONDS) -> None:
        """All runs in the store have ended."""
        self.wait(lambda: self.store.runs() and not self.store.unfinished(), "every run has ended", seconds)

    def heal(self, *lanes: Lane, seconds: float = PATIENCE_SECONDS, **more: Any) -> None:
        """A worker without faults, the rest of what clients had to do, until every run has ended; then all is checked."""
        worker = self.worker(lanes=self.remaining(lanes), stays=True, **more)

        def is_done() -> bool:
            self._resume_poisoned()
            return not self.remaining(lanes) or not worker.lives

        self.wait(is_done, "every action is acknowledged", seconds)
        self.wait_for_end(seconds)
        worker.terminate()
        assert worker.wait() == 0, self.said()
        self.check()

    def _resume_poisoned(self) -> None:
        """Somebody who kills whatever runs makes a run look like poison, now and then. What people do then is done here."""
        for run_id in self.store.poisoned():
            if run_id not in self.resuming or not self.resuming[run_id].lives:
                self.resuming[run_id] = self.client((resume(run_id),))

    def remaining(self, lanes: Sequence[Lane]) -> tuple[Lane, ...]:
        """What no client was told to be done."""
        done = {(ack["do"], ack["run"], ack["key"]) for what in ("ack", "refused") for ack in self.server.of(what)}
        left = (tuple(action for action in lane if (action.do, action.run, action.key) not in done) for lane in lanes)
        return tuple(lane for lane in left if lane)

    def check(self) -> checker.Evidence:
        """When nothing is under way any more."""
        resumed = {process.pid: process.resumed_at for process in self.processes if process.resumed_at}
        evidence = checker.gather(self.store, self.server.effects, resumed)
        wrong = checker.violations(evidence)
        assert not wrong, "\n".join([*wrong, self.said()])
        return evidence

    @staticmethod
    def boot_time() -> int:
        """Microseconds, as leases count them."""
        return HostClock().since_boot()

    def begun(self) -> Counter[checker.Key]:
        """How often each step's body has begun."""
        return Counter(checker.place(begin) for begin in self.server.of("begin"))

    def said(self) -> str:
        runs = self.store.runs()
        runs.sort(key=lambda run: run.state == "completed")  # what is of interest comes first
        lines = [f"{run} with {self.store.records(run.id)} records" for run in runs[:20]]
        return "\n".join([*lines, *(process.said() for process in self.processes[-3:])])


def start(workflow: str, run: str, *values: Any) -> Action:
    return Action("start", run, workflow, values)


def signal(run: str, number: int, topic: str = "go") -> Action:
    return Action("signal", run, topic, ({"n": number},), key=f"{run}-{number}")


def order(verb: str, run: str) -> Action:
    """Cancel, pause, resume, retry or delete it."""
    return Action(verb, run)


def recorded(run: str, records: int) -> Action:
    """Wait until so many are on disk."""
    return Action("recorded", run, values=(records,))


def resume(run: str) -> Action:
    return Action("resume", run)


def result(run: str, asked: str | None = None) -> Action:
    """`asked` tells one question from another."""
    return Action("result", run, key=asked)
