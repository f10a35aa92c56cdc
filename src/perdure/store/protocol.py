"""What the engine and the client ask of a store. Few methods, full promises; one contract suite runs against each store.

A method that returns has made durable what it wrote. One that raises `StoreUnavailable` has written nothing. One that
raises `UnknownOutcome` may have: ask `checkpoint_of` (checkpoints), or repeat the call (all others are idempotent).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from perdure.clock import Clock, Instant, Microseconds
from perdure.errors import StoreError
from perdure.model.records import NewRecord, Record
from perdure.model.runs import AttemptRow, NewRun, NewSignal, RunRow, WorkerRow
from perdure.model.states import RunState
from perdure.store.calls import Call, StepTransaction
from perdure.store.endings import Ending
from perdure.store.oversight import Oversight
from perdure.store.transacting import Transacting

STRIKES_ALONE = 2  # deaths under a run's code after which it runs alone: from there on no neighbour can be the cause
STRIKES_MOST = 5  # deaths, the last ones alone, after which it is quarantined


class UnknownOutcome(StoreError):
    """COMMIT failed: the transaction may or may not be on disk."""

    code = "unknown_outcome"


class FenceLost(StoreError):
    """This incarnation has been declared dead: it may commit nothing any more."""

    code = "fence_lost"


class NotNext(StoreError):
    """Not the checkpoint after the last committed one. Nothing of it was written now: `checkpoint_of` says where the store stands."""

    code = "not_next"


class BadItem(StoreError):
    """One run's change is refused by the database; the rest of the batch can be committed without it. Nothing was written."""

    code = "bad_item"

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(f"run {run_id}: {reason}")
        self.run_id = run_id
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DueTimer:
    deadline: Instant
    number: int


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """Written over what the attempts table holds for this command."""

    command: int
    name: str
    digest: bytes
    failures: int
    began_at: Instant
    next_at: Instant
    error: bytes


@dataclass(frozen=True, slots=True)
class Intent:
    """An at_most_once step is about to run."""

    command: int
    name: str
    digest: bytes


@dataclass(slots=True)
class Change:
    """All that one owned run has to write in one checkpoint.

    Order of the records written: `records` as given; those of `calls` that succeed; then, if `reads_inbox`, undelivered signals, a cancel,
    and those of `due` whose deadline is not after this checkpoint's time, merged by arrival and deadline (at a tie the timer last); then
    that of `ending`. A timer is never recorded before the inbox has been read up to its deadline: where the page of signals is full, timers
    later than its last signal wait. Of a run that is to be paused nothing of this is read; it is paused where `ending` gives it up.
    """

    run_id: str
    generation: int
    position: int  # of its last record
    at: Instant  # of its last record: no new one is earlier
    records: list[NewRecord] = field(default_factory=list)
    due: tuple[DueTimer, ...] = ()
    reads_inbox: bool = False
    settled: Sequence[int] = ()  # commands whose rows in attempts are over
    failures: Sequence[AttemptFailed] = ()
    intents: Sequence[Intent] = ()
    issued: int | None = None  # given: the activation of the record at `position` is over, which is kept, too; neither ever falls
    note: bytes | None = None  # None: unchanged
    clears_strikes: bool = False
    calls: Sequence[Call] = ()
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """How many runs, of which workflows, may become mine: due ones, and those whose owner is dead or unknown.

    A run under whose code processes died twice is a suspect: it is claimed alone, by a worker that has nothing else (`is_alone`).
    """

    room: int
    workflows: tuple[str, ...]
    python: str
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One transaction of one worker. `number` is one more than that of the last checkpoint known to be committed."""

    incarnation: str
    number: int
    lease: Microseconds
    changes: Sequence[Change] = ()
    claims: Claims | None = None
    lists_owned: bool = False
    transaction: StepTransaction | None = None  # it is written in this one, which is over then: with one change that has one call


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one `Change`."""

    run_id: str
    records: Sequence[Record]
    has_more: bool = False  # undelivered signals are left, or due timers were held back for them
    has_left: bool = False  # what ends its stay was written too
    is_pausing: bool = False  # the inbox was not read and no call performed, for the run is to be paused
    raised: Sequence[tuple[int, BaseException]] = ()  # commands whose calls failed; nothing of them was written
    damage: str | None = None  # of its inbox, of which nothing was read then; nor were intents written
    is_put_off: bool = False  # nothing of its inbox was read, for what others got was large enough: its turn comes first next time


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that a replay needs. `damage` says which record is damaged, None where every checksum holds."""

    row: RunRow
    records: Sequence[Record]
    attempts: Sequence[AttemptRow]
    damage: str | None = None
    size: int = 0  # bytes of its records


def left_to_load(run_ids: Sequence[str], found: Mapping[str, Loaded], bytes_most: int) -> Sequence[str]:
    """Those that `load` did not come to. It has come to the others, also to those that are not there."""
    if sum(one.size for one in found.values()) <= bytes_most:
        return ()
    return run_ids[run_ids.index(list(found)[-1]) + 1 :]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that is mine now. `started` is its first record where this claim wrote it; else its history is `loaded`, or to be loaded."""

    row: RunRow
    started: Record | None
    strikes: int = 0
    loaded: Loaded | None = None
    """Where few runs were claimed and its history is short: one trip to the store less for whoever was woken."""


@dataclass(frozen=True, slots=True)
class Committed:
    at: Instant
    written: Sequence[Written]
    claimed: Sequence[Claimed]
    owned: frozenset[str] | None = None  # after this checkpoint, where asked for
    suspects_wait: bool = False  # some run can be claimed only by a worker that has nothing else
    has_more: bool = False  # the claim stopped where there was no room, or what it took was large enough: there may be more
    set_aside: Mapping[str, str] = field(default_factory=dict)  # runs that were quarantined instead of claimed, and why


@dataclass(frozen=True, slots=True)
class Survey:
    """What a sweep has to look at, as of one moment; all of it is asked for at once, for an idle worker asks for ever."""

    workers: Sequence[WorkerRow]
    has_missed: bool  # `wake_missed` would find something
    has_outdated: bool  # `forget_outdated` would
    is_claimable: bool


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a worker may do next, as of one moment."""

    addressed: Sequence[str]  # its runs that have signals in their inbox or of which something is wanted
    is_claimable: bool
    next_wake: Instant | None  # the earliest moment yet to come at which a run that nobody owns is due


@dataclass(frozen=True, slots=True)
class Claimant:
    """A worker that has room for a run that it starts itself."""

    incarnation: str
    python: str


@dataclass(frozen=True, slots=True)
class Started:
    row: RunRow
    is_new: bool
    claimed: Claimed | None = None  # by the claimant, in the same transaction


@dataclass(frozen=True, slots=True)
class Summary:
    """A run as lists show it, without payloads."""

    id: str
    workflow: str
    state: RunState
    created_at: Instant
    ended_at: Instant | None
    note: bytes | None


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    version: int  # of the store
    newest: int  # known to this perdure
    pending: tuple[str, ...]  # names of migrations not applied yet


class Store(Oversight, Transacting, Protocol):
    """A namespace of one database."""

    async def open(self, *, create: bool, migrate: bool) -> None:
        """Raises StoreNotFound, NotAStore, StoreIsReadOnly, SchemaTooNew, SchemaTooOld, UnsafeFileSystem."""

    async def close(self) -> None:
        """Idempotent; waits for what was asked before."""

    async def schema(self) -> SchemaStatus: ...

    @property
    def locks_folder(self) -> str | None:
        """Where workers of this host keep their lock files; None where one process is all there is (memory)."""

    def authority(self, host: Clock) -> Clock:
        """The clock that counts for what this store holds, as this process can read it at any time. Once the store is open."""

    @property
    def shares_commits(self) -> bool:
        """Whether what is asked in one turn of the event loop shares a transaction: a claim then finds the start it was asked with."""

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def register(self, worker: WorkerRow, lease: Microseconds) -> None:
        """A live row with checkpoint 0 that expires a lease from now."""

    async def checkpoint(self, batch: Checkpoint) -> Committed:
        """All of the batch, or nothing. Begins by moving the worker's row from number - 1 to number and renewing its lease.

        Raises FenceLost when the incarnation is not live, NotNext, BadItem when one change cannot be written, CallSpoiled when a call has
        undone what it was in, UnknownOutcome, StoreUnavailable.
        """

    async def checkpoint_of(self, incarnation: str) -> int | None:
        """The number of the last committed checkpoint; None when the incarnation is not live. Waits for a commit still under way."""

    def renew(self, incarnation: str, lease: Microseconds) -> bool:
        """Blocking, from any thread, on a connection of its own: move `expires_at`. False when the incarnation is not live."""

    async def workers(self) -> Sequence[WorkerRow]: ...

    async def owned_count(self, incarnation: str) -> int:
        """How many runs belong to this incarnation."""

    async def declare_dead(
        self, incarnation: str, seen_expires_at: Microseconds, executing: frozenset[str] = frozenset(), *, was_alone: bool = False
    ) -> bool:
        """One compare-and-set: False when it has renewed since it was seen, or is dead already.

        In the same transaction each run of it whose code was `executing` gets a strike, beyond STRIKES_ALONE only if it `was_alone`;
        one with STRIKES_MOST is quarantined.
        """

    async def retire(self, incarnation: str) -> None:
        """Clean end of a worker: its row is dead at once, whatever it still owned is claimable."""

    async def bury(self, clear_away: Callable[[str], None]) -> None:
        """Delete the rows of dead workers that own nothing, each after `clear_away` was called with its lock file.

        In this order: of one whose deletion has an unknown outcome no file is left that nobody knows of.
        """

    # ── what wakes ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def survey(self, workflows: Sequence[str]) -> Survey: ...

    async def outlook(self, workflows: Sequence[str], owner: str, limit: int) -> Outlook: ...

    async def next_wake(self, workflows: Sequence[str]) -> Instant | None:
        """The earliest moment yet to come at which a run of these workflows that nobody owns is due."""

    async def undelivered(self, limit: int, *, owner: str | None = None) -> Sequence[str]:
        """Ids of runs, or of the runs of one owner, that have signals in their inbox or of which something is wanted."""

    async def wake_missed(self) -> int:
        """Make due every waiting, unowned run that has undelivered signals or is to be cancelled; how many there were."""

    async def has_claimable(self, workflows: Sequence[str]) -> bool:
        """Whether a run of these workflows is due now or belongs to a dead or unknown owner."""

    async def forget_outdated(self, rows: int) -> bool:
        """Delete at most so many records of outdated generations; whether there may be more of them."""

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on the event loop soon after another connection wrote something. Returns the way to stop it.

        A hint: it may come late, twice or never.
        """

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def load(self, run_ids: Sequence[str], bytes_most: int | None = None) -> Mapping[str, Loaded]:
        """In the order given, and no further than the first with which their records have more than `bytes_most`: see `left_to_load`.

        Missing runs are left out; a damaged record or row is reported with its run, never raised.
        """

    async def start(self, run: NewRun, claimant: Claimant | None = None) -> Started:
        """Insert, claimed for `claimant` if it is a live worker, or return what stands under this id; never raises for a taken id."""

    async def send(self, signal: NewSignal, limit: int) -> None:
        """Store it once per key and, in the same transaction, make the run due if it is waiting and unowned.

        A key that was taken succeeds silently, also after the end. Raises RunNotFound, RunEnded, InboxFull.
        """

    async def run(self, run_id: str) -> RunRow | None: ...

    async def ended(self, run_ids: Sequence[str]) -> Sequence[str]:
        """Those of the given runs, at most a few hundred, that have ended or do not exist."""

    async def last_record(self, run_id: str) -> Record | None: ...

    async def history(self, run_id: str) -> Mapping[int, Sequence[Record]]:
        """What each generation that is kept has recorded of its own, the oldest first. Raises CorruptedHistory."""

    async def attempts(self, run_id: str) -> Sequence[AttemptRow]: ...

    async def runs(
        self, *, workflow: str | None = None, state: RunState | None = None, limit: int = 100, before: tuple[Instant, str] | None = None
    ) -> Sequence[Summary]:
        """Newest first by (created_at, id), those before the given place."""

    # ── what people want of a run ────────────────────────────────────────────────────────────────────────────────────

    async def wanted(self, run_id: str) -> Sequence[str]:
        """What its owner is to do about it, and was not told yet: cancel, pause."""

    async def cancel(self, run_id: str, grace: Microseconds) -> None:
        """Let its code be told once and have `grace` to clean up; with the request whatever sleeps is woken, and a pause is over.

        One that has not begun, or is quarantined, ends cancelled without running code. A repeat, also after the end, changes nothing.
        Raises RunNotFound, RunEnded.
        """

    async def pause(self, run_id: str) -> None:
        """Nothing of it begins until it is resumed; steps under way may end. A repeat changes nothing.

        Raises RunNotFound, RunEnded, NotRetryable where it is quarantined or being cancelled.
        """

    async def resume(self, run_id: str) -> None:
        """A paused or quarantined run becomes waiting and due, a wish to pause is withdrawn; any other that has not ended stays as it is.

        Raises RunNotFound, RunEnded.
        """

    async def retry(self, run_id: str) -> None:
        """A failed run gets another generation, which shares what came before its failure, and is due. A repeat changes nothing.

        Raises RunNotFound, NotRetryable, CorruptedHistory.
        """

    async def delete(self, run_id: str) -> None:
        """All rows of a run that has ended, or none. Its id is free then. Raises RunNotFound, RunNotEnded."""

    async def purge(self, keep: Mapping[RunState, Microseconds], runs_most: int, records_most: int) -> int:
        """Delete runs that ended longer ago than they are to be kept, the oldest first, a bounded number; how many there were."""
