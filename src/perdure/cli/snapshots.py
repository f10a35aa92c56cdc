"""What a worker has under way, as one JSON document: for whoever watches it live."""

from typing import TYPE_CHECKING, Any

from perdure.clock import to_datetime
from perdure.codec.plain import describe_failure

if TYPE_CHECKING:
    from perdure.engine.live import LiveRun
    from perdure.engine.service import Engine
    from perdure.run import RunSummary

_UNFINISHED = ("quarantined", "running", "waiting", "pending", "paused")
_RUNS_MOST = 30
_FAILED_MOST = 5


async def snapshot(engine: "Engine") -> dict[str, Any]:
    """Runs by state, and of the newest unfinished and failed ones what each is doing. Nothing is written."""
    counts = await engine.counts()
    runs: list[dict[str, Any]] = []
    for state in (one for one in _UNFINISHED if counts.get(one)):
        page = await engine.runs(status=state, limit=_RUNS_MOST)
        runs += [await _run(engine, one) for one in page.runs[: _RUNS_MOST - len(runs)]]
    if counts.get("failed"):
        page = await engine.runs(status="failed", limit=_FAILED_MOST)
        runs += [await _run(engine, one) for one in page.runs]
    return {"counts": counts, "runs": runs}


async def _run(engine: "Engine", one: "RunSummary") -> dict[str, Any]:
    live = engine.worker.live.get(one.id)
    steps = [] if live is None else _steps(live)
    status = await engine.run(one.id).status()
    trying = set() if live is None else {attempt.command.name for attempt in live.attempts.values()}
    waits = [str(wait["text"]) for wait in status.waiting_for if wait.get("step") not in trying]
    if not waits and not steps and live is not None:
        waits = _waits(live)
    errors = [f"{status.error['type']}: {status.error['message']}"] if status.error else await _errors(engine, one.id)
    return {
        "id": one.id,
        "workflow": one.workflow,
        "status": status.state,
        "note": one.note,
        "steps": steps,
        "waits": waits,
        "errors": errors,
    }


def _steps(live: "LiveRun") -> list[str]:
    """Attempts under way. Which run is looked at first does not matter: nothing is kept of it."""
    attempts = list(live.attempts.values())
    return [f"{one.command.name}{f' (attempt {one.number})' if one.number > 1 else ''}" for one in attempts]


def _waits(live: "LiveRun") -> list[str]:
    """Of a run that lingers in memory: what the store shows once it is parked."""
    deadline = live.execution.next_deadline()
    timer = [] if deadline is None else [f"timer until {to_datetime(deadline):%Y-%m-%d %H:%M:%S} UTC"]
    return timer + [f"signal {' or '.join(map(repr, topics))}" for topics in live.execution.waited_topics()[:5]]


async def _errors(engine: "Engine", run_id: str) -> list[str]:
    """Why steps that wait for their next try have failed."""
    failures = [(one.name, describe_failure(one.error)) for one in await engine.attempts_of(run_id) if one.error is not None]
    return [f"{name}: {failure['type']}: {failure['message']}" for name, failure in failures]
