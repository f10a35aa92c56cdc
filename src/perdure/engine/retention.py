"""Deletes runs that ended long ago, if they are not to be kept for ever: a batch at a time, so that nobody waits for it."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from perdure.clock import SECOND, Duration, Microseconds, to_microseconds
from perdure.engine.patience import pause
from perdure.errors import StoreError, StoreFailed
from perdure.model.states import FINAL, RunState
from perdure.settings import Settings
from perdure.store.protocol import Store

log = logging.getLogger("perdure.engine")
DAY: Microseconds = 86_400 * SECOND


def kept(settings: Settings) -> Mapping[RunState, Microseconds]:
    """How long runs are kept after their end, by how they ended; what is not named is kept for ever."""
    days = {
        RunState.COMPLETED: settings.keep_completed_days,
        RunState.FAILED: settings.keep_failed_days,
        RunState.CANCELLED: settings.keep_cancelled_days,
    }
    return {state: round(length * DAY) for state, length in days.items() if length is not None}


def retaining(settings: Settings, lengths: Mapping[str, Duration]) -> Settings:
    """The settings with these lengths by state. Raises ValueError for a state that no run ends in, or a length below 0."""
    unknown = lengths.keys() - FINAL
    if unknown:
        raise ValueError(f"retention is by completed, failed or cancelled, not by {', '.join(map(repr, sorted(unknown)))}")
    days = {state: to_microseconds(length, f"retention of {state}") / DAY for state, length in lengths.items()}
    return replace(
        settings,
        keep_completed_days=days.get(RunState.COMPLETED, settings.keep_completed_days),
        keep_failed_days=days.get(RunState.FAILED, settings.keep_failed_days),
        keep_cancelled_days=days.get(RunState.CANCELLED, settings.keep_cancelled_days),
    )


async def purge_for_ever(store: Store, settings: Settings) -> None:
    """Until cancelled. Several workers may do it at once: each batch is one transaction."""
    keep = kept(settings)
    while keep:
        removed = 0
        try:
            removed = await store.purge(keep, settings.purge_runs, settings.purge_records)
        except StoreFailed:
            raise
        except StoreError as error:
            # The next round begins anew.
            log.warning("runs that ended long ago could not be deleted now: %s", error)
        if removed:
            log.info("%d runs that ended long ago were deleted", removed)
        await pause(settings.purge_pause_seconds if removed else settings.purge_seconds)
