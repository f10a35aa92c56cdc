"""What a seed stands for: which faults it has, how hard they come, and how the engine is set up. Each seed has some of everything."""

from dataclasses import dataclass, replace
from random import Random

from perdure.settings import Limits, Settings

MEBIBYTE = 1024 * 1024
FAULTS = (
    "kill",  # a process dies, also between COMMIT and its reply
    "pause",  # a process stands still, also past its lease, and goes on with what it remembers
    "stop",  # a worker ends cleanly, sometimes killed while it does
    "jump",  # the wall clock is set forward or back
    "outage",  # the store answers nobody, or not to one process, for a while
    "unavailable",  # one transaction is refused, at its begin, in its middle or at its COMMIT
    "lost",  # a COMMIT succeeds and is reported as failed
    "undone",  # a COMMIT fails and leaves nothing, and nobody is told which
    "sync",  # the disk fails to sync: the process has to go
    "slow",  # transactions, reads and their answers take seconds
    "hints",  # word that somebody wrote is dropped, late, or comes twice
    "renewals",  # a lease cannot be renewed
    "clients",  # a client dies between its call and the answer
    "refusals",  # the database refuses a row
    "suspend",  # the whole machine sleeps, for seconds or for days
    "collect",  # the garbage collector comes: tasks that nobody holds are gone
    "permute",  # neighbouring steps of different tasks change places
    "cancels",  # somebody cancels a task of the engine: that of a step, or of a commit
)
LATER = frozenset({"cancels"})


@dataclass(frozen=True, slots=True)
class Swarm:
    """Everything that is drawn from the seed before anything happens."""

    seed: int
    faults: frozenset[str]
    rate: float  # how often faults come, around 1
    workers: int
    clients: int
    runs: int
    chaos_seconds: float
    tick: int  # a callback takes less than so many microseconds
    inbox_page: int
    inbox_page_bytes: int
    claim_page: int
    claim_page_bytes: int
    transaction_most: int  # functions in one transaction
    settings: Settings
    listeners: tuple[bool, ...]  # by worker: whether it wants to be told of troubles

    def has(self, fault: str) -> bool:
        return fault in self.faults


def swarm_of(seed: int, *, without: frozenset[str] = frozenset(), runs_most: int | None = None) -> Swarm:
    draw, sizes = Random(f"{seed}/swarm"), Random(f"{seed}/sizes")  # apart: what a seed drew before stays as it was
    share = draw.choice((0.1, 0.3, 0.5, 0.5, 0.8))
    later = Random(f"{seed}/swarm later")  # of faults that came to be later, so that the seeds before still draw what they drew
    faults = frozenset(fault for fault in FAULTS if (later if fault in LATER else draw).random() < share)
    runs = draw.choice((1, 3, 5, 5, 8, 12))
    return Swarm(
        seed=seed,
        faults=faults - without,
        rate=draw.choice((0.3, 1.0, 1.0, 3.0)),
        workers=draw.choice((1, 2, 2, 2, 3)),
        clients=draw.choice((1, 2)),
        runs=runs if runs_most is None else min(runs, runs_most),
        chaos_seconds=draw.choice((4.0, 10.0, 25.0)),
        tick=draw.choice((10, 50, 50, 500)),
        inbox_page=draw.choice((1, 2, 500)),
        inbox_page_bytes=sizes.choice((1, 30, MEBIBYTE, MEBIBYTE)),
        claim_page=draw.choice((1, 3, 200)),
        claim_page_bytes=sizes.choice((1, 100, MEBIBYTE, MEBIBYTE)),
        transaction_most=draw.choice((1, 500, 500)),
        settings=replace(settings_of(draw), replay_bytes=sizes.choice((1, 1000, MEBIBYTE))),
        listeners=tuple(draw.random() < 0.6 for _ in range(3)),
    )


def settings_of(draw: Random) -> Settings:
    lease = draw.choice((1.5, 4.0, 10.0))
    return Settings(
        limits=Limits(inbox_signals=draw.choice((3, 10_000))),
        lease_seconds=lease,
        renew_seconds=lease * 0.3,
        sweep_seconds=draw.choice((0.5, 2.0, 2.0)),
        poll_seconds=draw.choice((0.2, 1.0)),
        batch_rows=draw.choice((1, 2, 250)),
        batch_bytes=draw.choice((1, 4 * 1024 * 1024)),
        claim_page=draw.choice((1, 2, 200)),
        inbox_page=draw.choice((1, 500)),
        runs_in_memory=draw.choice((1, 4, 2000)),
        replays_at_once=draw.choice((1, 50)),
        replay_slice_seconds=draw.choice((-1.0, 0.002)),
        attempts_at_once=draw.choice((1, 3, 1000)),
        threads=draw.choice((1, 32)),
        linger_seconds=draw.choice((0.0, 0.05, 0.2)),
        park_wait_seconds=draw.choice((0.0, 0.5, 2.0)),
        store_retry_seconds_first=0.05,
        store_retry_seconds_most=draw.choice((0.2, 2.0)),
        drain_seconds=draw.choice((0.5, 10.0)),
        transaction_seconds=3600.0,  # of real time, which is none of this world's
        cancel_grace_seconds=draw.choice((0.0, 0.5, 5.0, 300.0)),
        trouble_seconds=1.0,
        troubles_at_once=draw.choice((1, 10)),
        trouble_retry_seconds_first=0.2,
        trouble_retry_seconds_most=2.0,
        trouble_tries_most=draw.choice((3, 450)),
        stranded_seconds=draw.choice((0.5, 2.0)),
        stranded_look_seconds=draw.choice((0.3, 1.0)),
        stranded_most=draw.choice((1, 1000)),
        **kept_days(draw),
        purge_seconds=draw.choice((0.5, 5.0)),
        purge_runs=draw.choice((1, 100)),
        purge_records=draw.choice((1, 5000)),
    )


def kept_days(draw: Random) -> dict[str, float | None]:
    """Mostly for ever, else for some seconds."""
    is_tidy = draw.random() < 0.3
    lengths = {state: draw.choice((None, 1.0 / 86_400, 20.0 / 86_400)) for state in ("completed", "failed", "cancelled")}
    return {f"keep_{state}_days": length for state, length in lengths.items()} if is_tidy else {}
