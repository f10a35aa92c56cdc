"""Runs and records as JSON documents: the same fields as in the HTTP interface."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.client import Client
    from perdure.run import RunRecord, RunStatus, RunSummary


def summary_document(one: "RunSummary") -> dict[str, Any]:
    return {
        "id": one.id,
        "workflow": one.workflow,
        "status": one.status,
        "started_at": one.created_at,
        "ended_at": one.ended_at,
        "note": one.note,
    }


def status_document(one: "RunStatus", result: Any = None) -> dict[str, Any]:
    return {
        "id": one.id,
        "workflow": one.workflow,
        "status": one.state,
        "note": one.note,
        "waiting_for": one.waiting_for,
        "input": one.input,
        "result": result,
        "error": one.error,
        "started_at": one.created_at,
        "ended_at": one.ended_at,
    }


async def run_document(client: "Client", run_id: str) -> dict[str, Any]:
    """Everything that is known of one run."""
    status = await client.run(run_id).status()
    result = await client.run(run_id).result() if status.state == "completed" else None
    return status_document(status, result)


def record_document(one: "RunRecord") -> dict[str, Any]:
    return {
        "generation": one.generation,
        "position": one.position,
        "at": one.at,
        "kind": one.kind,
        "name": one.name,
        "attempt": one.attempt,
        "input": one.input,
        "output": one.output,
        "error": one.error,
    }
