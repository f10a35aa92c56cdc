"""Rows about runs, attempts, signals and workers, as the store keeps them."""

from dataclasses import dataclass
from typing import NamedTuple

from perdure.clock import Instant, Microseconds
from perdure.model.states import RunState

# Named tuples where they are made on the hot path.


class NewRun(NamedTuple):
    """What `start` stores. `input_hash` decides whether a repeat is the same start."""

    id: str
    workflow: str
    input: bytes
    input_hash: bytes
    seed: bytes


class RunRow(NamedTuple):
    id: str
    workflow: str
    state: RunState
    generation: int
    input: bytes
    input_hash: bytes
    seed: bytes
    python: str | None  # the minor that wrote its history, "3.11"; None before the first claim
    needs_python: bool  # replays on that minor only: another one diverged
    created_at: Instant
    ended_at: Instant | None
    owner: str | None
    wake_at: Instant | None
    issued: int  # how many commands had been issued when it was last parked, handed over, retried or intended
    note: bytes | None
    waiting_for: bytes | None
    error: bytes | None  # why it is quarantined; the error of a failed run is in its last record
    fencing: int = 0  # greater with each claim; 0 before the first one
    damage: str | None = None  # what its row says and cannot be: then it is shown as quarantined, and nothing is done with it
    reached: int = 0  # the last record whose activation is known to have been over when it was put down; as of `load`, 0 elsewhere
    key_generation: int = 0  # the generation in the idempotency keys of its steps: a retry keeps it; as of `load`, 0 elsewhere


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A step that has failed and will be tried again, or an at_most_once step that was about to run."""

    command: int
    name: str
    digest: bytes
    failures: int
    began_at: Instant
    next_at: Instant | None
    error: bytes | None
    intent: str | None  # the incarnation that was about to run it


@dataclass(frozen=True, slots=True)
class NewSignal:
    run_id: str
    id: str
    topic: str
    payload: bytes
    key: str | None


@dataclass(frozen=True, slots=True)
class SignalRow:
    id: str
    topic: str
    payload: bytes
    arrived_at: Instant


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One life of one worker. `expires_at` counts since the boot named by `boot`; `lock` is the file it holds locked."""

    incarnation: str
    host: str
    boot: str
    pid: int
    lock: str
    workflows: tuple[str, ...]
    python: str
    state: str  # live | dead
    checkpoint: int
    expires_at: Microseconds
    started_at: Instant
    is_expired: bool | None = None  # by the clock of the store, where that counts leases; None: they count since the boot of the host
