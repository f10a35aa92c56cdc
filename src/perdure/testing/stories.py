"""What the runs of a test engine did, as text: shown with a test that fails."""

from collections.abc import Sequence

from perdure.run import RunRecord, RunStatus

RUNS_SHOWN_MOST = 20
RECORDS_SHOWN_MOST = 100
_VALUE_CHARACTERS = 100


def story_of(status: RunStatus, history: Sequence[RunRecord]) -> str:
    lines = [f"run {status.id} of workflow {status.workflow}: {status.state}"]
    lines += [f"    {one.at:%Y-%m-%d %H:%M:%S}  {_told(one)}" for one in history[:RECORDS_SHOWN_MOST]]
    if len(history) > RECORDS_SHOWN_MOST:
        lines.append(f"    … and {len(history) - RECORDS_SHOWN_MOST} more records")
    lines += [f"    waits for {one['text']}" for one in status.waiting_for]
    if status.error is not None:
        lines.append(f"    {status.error['type']}: {status.error['message']}")
    return "\n".join(lines)


def _told(record: RunRecord) -> str:
    parts = [f"{record.position}. {record.kind}"]
    if record.name:
        parts.append(record.name)
    if record.input is not None:
        parts.append(_shown(record.input))
    if record.output is not None:
        parts.append(f"-> {_shown(record.output)}")
    if record.error is not None:
        parts.append(f"-> {record.error['type']}: {record.error['message']}")
    return " ".join(parts)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[:_VALUE_CHARACTERS]}…"
