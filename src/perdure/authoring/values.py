"""Values that are the same on every replay: the time, random numbers, who is asking; and the note that others see."""

from datetime import datetime
from random import Random
from uuid import UUID

from perdure.authoring.current import Info, attempt_info, current_host, require_host
from perdure.errors import NotInWorkflow


def now() -> datetime:
    """The time of the last applied record, in UTC: it stands still while workflow code runs."""
    return require_host("now()").now()


def uuid4() -> UUID:
    """A random UUID from the run's own seed, the same on every replay; nobody can guess it from the run's id."""
    return require_host("uuid4()").uuid4()


def random() -> Random:
    """The run's own generator, the same on every replay: `random().choice(…)`. Not for secrets."""
    return require_host("random()").random()


def info() -> Info:
    """Which run, workflow, step and attempt is asking. Works inside a step, too, also in its thread. Raises NotInWorkflow elsewhere."""
    host = current_host()
    if host is not None:
        return host.info()
    found = attempt_info.get(None)
    if found is None:
        raise NotInWorkflow("info() works inside a workflow or a step that a worker runs")
    return found()


def set_status(note: object) -> None:
    """Say in your own words or data where the run stands; whoever asks for its status sees the last note.

    Any value that JSON can hold, up to 1 MiB (EncodeError, PayloadTooLarge). It is on disk with the next checkpoint, and no record of the
    history: after a crash before that, the replay says it again.
    """
    require_host("set_status()").set_status(note)
