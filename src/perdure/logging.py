"""What logging can know of runs: which one is speaking, and whether it has said the same before."""

import asyncio
import logging

from perdure.authoring.current import Info, attempt_info, current_host

__all__ = ["RunContext", "is_replaying"]


class RunContext(logging.Filter):
    """Gives each record `run_id`, `workflow`, `step`, `attempt`, and `run_context`: all of it as text, or nothing outside of runs.

    Add it to a handler, so that it sees what every logger says; what a record has already (`extra=`) stays as it is.

        handler.addFilter(RunContext())
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s%(run_context)s"))
        # INFO reserved [run_id=order-1 workflow=fulfil step=reserve attempt=1]

    Outside of runs `run_id`, `workflow` and `step` are empty and `attempt` is 0. What workflow code says in a replay is never heard,
    with this filter or without.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in context_of(current_info()).items():
            record.__dict__.setdefault(name, value)
        return not is_replaying()


def is_replaying() -> bool:
    """Whether the workflow code that is executing has said before what it says now, or is being closed: for what is not `logging`.

    False outside of workflow code, and inside of steps.
    """
    return getattr(asyncio._get_running_loop(), "is_silent", False)


def current_info() -> Info | None:
    host = current_host()
    if host is not None:
        return host.info()
    of_attempt = attempt_info.get(None)
    return None if of_attempt is None else of_attempt()


def context_of(info: Info | None) -> dict[str, str | int]:
    if info is None:
        return {"run_id": "", "workflow": "", "step": "", "attempt": 0, "run_context": ""}
    fields: dict[str, str | int] = {"run_id": info.run_id, "workflow": info.workflow, "step": info.step or "", "attempt": info.attempt or 0}
    return fields | {"run_context": f" [{' '.join(f'{name}={value}' for name, value in fields.items() if value)}]"}
