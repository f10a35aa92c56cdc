"""The states of a run and the legal transitions between them: one table."""

from enum import StrEnum


class RunState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    QUARANTINED = "quarantined"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED})

TRANSITIONS: dict[tuple[RunState, str], RunState] = {
    (RunState.PENDING, "claim"): RunState.RUNNING,
    (RunState.WAITING, "claim"): RunState.RUNNING,
    (RunState.RUNNING, "claim"): RunState.RUNNING,  # from a dead worker
    (RunState.RUNNING, "park"): RunState.WAITING,
    (RunState.RUNNING, "release"): RunState.WAITING,
    (RunState.RUNNING, "quarantine"): RunState.QUARANTINED,
    (RunState.RUNNING, "complete"): RunState.COMPLETED,
    (RunState.RUNNING, "fail"): RunState.FAILED,
    (RunState.RUNNING, "continue"): RunState.WAITING,  # with its next generation
    (RunState.PENDING, "cancel"): RunState.CANCELLED,
    (RunState.WAITING, "cancel"): RunState.WAITING,  # due at once: its code cleans up
    (RunState.PAUSED, "cancel"): RunState.WAITING,
    (RunState.RUNNING, "cancel"): RunState.CANCELLED,  # once its code has cleaned up
    (RunState.QUARANTINED, "cancel"): RunState.CANCELLED,  # its code cannot clean up
    (RunState.PENDING, "pause"): RunState.PAUSED,
    (RunState.WAITING, "pause"): RunState.PAUSED,
    (RunState.RUNNING, "pause"): RunState.PAUSED,  # once the steps under way have ended
    (RunState.PAUSED, "resume"): RunState.WAITING,
    (RunState.QUARANTINED, "resume"): RunState.WAITING,
    (RunState.FAILED, "retry"): RunState.WAITING,
}
"""(state, what happens) -> state. What is not here is refused."""


def after(state: RunState, happening: str) -> RunState | None:
    """The state that follows, or None where the transition is not legal."""
    return TRANSITIONS.get((state, happening))
