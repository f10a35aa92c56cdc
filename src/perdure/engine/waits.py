"""What a run is waiting for, in words and as data: what `status` shows of a parked run."""

from perdure.clock import to_datetime
from perdure.codec.values import encode
from perdure.engine.live import LiveRun

_SHOWN_MOST = 20


def waiting_for(run: LiveRun) -> bytes:
    """The JSON list that is stored with a parked run."""
    waits: list[dict[str, object]] = []
    if run.execution.clean_up_ends_at is not None:
        until = to_datetime(run.execution.clean_up_ends_at)
        text = f"its clean-up after a cancel, until {until:%Y-%m-%d %H:%M:%S} UTC at most"
        waits.append({"kind": "clean_up", "text": text, "until": until})
    deadline = run.execution.next_timer()
    if deadline is not None:
        until = to_datetime(deadline)
        waits.append({"kind": "timer", "text": f"timer until {until:%Y-%m-%d %H:%M:%S} UTC", "until": until})
    for topics in run.execution.waited_topics()[:_SHOWN_MOST]:
        words = " or ".join(repr(topic) for topic in topics)
        waits.append({"kind": "signal", "text": f"signal {words}", "topics": list(topics)})
    for number, retrying in list(run.retrying.items())[:_SHOWN_MOST]:
        if retrying.next_at is not None and number in run.execution.open:
            command, at = run.execution.open[number], to_datetime(retrying.next_at)
            name, what = command.name, "compensation" if command.is_compensation else "step"
            text = f"{what} {name} to be tried again at {at:%Y-%m-%d %H:%M:%S} UTC; failed attempts: {retrying.failures}"
            waits.append({"kind": "retry", "text": text, "step": name, "at": at, "failures": retrying.failures})
    if not waits:
        waits.append({"kind": "nothing", "text": "nothing that can come: it waits on its own queues, events or locks"})
    return encode(waits, object, what="waits", limit=1 << 20)
