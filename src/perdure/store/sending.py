"""Whether a signal is stored, and under which key."""

from perdure.clock import SECOND, Microseconds
from perdure.errors import CorruptedHistory, InboxFull, RunEnded, RunNotFound
from perdure.model.runs import NewSignal
from perdure.settings import Settings
from perdure.store.rows import STATES


def keys_kept(settings: Settings) -> Microseconds:
    """How long the key of a signal stays taken, of a run that has continued as new or was retried."""
    return round(settings.signal_keys_kept_days * 86400 * SECOND)


def key_of(signal: NewSignal) -> str:
    """By its id a sender who does not know its outcome can repeat it."""
    return f"id:{signal.id}" if signal.key is None else f"key:{signal.key}"


def is_known(signal: NewSignal, state: str | None, has_key: bool) -> bool:
    """Whether it has been stored before. A new one for a run that takes none raises RunNotFound or RunEnded."""
    if state is None:
        raise RunNotFound(f"there is no run {signal.run_id!r}; nothing was sent")
    if has_key:
        return True
    if state not in STATES:
        raise CorruptedHistory(f"run {signal.run_id}: its row is damaged: there is no state {state!r}; nothing was sent")
    if STATES[state].is_final:
        raise RunEnded(f"run {signal.run_id} has ended ({state}) and takes no more signals; nothing was sent")
    return False


def refuse_full(signal: NewSignal, undelivered: int, limit: int) -> None:
    if undelivered >= limit:
        raise InboxFull(f"{limit} undelivered signals wait for run {signal.run_id}; this one was not stored: send it again later")
