"""What a shell offers for an argument: ids of runs and names of workflows, from the store if one is named."""

import os
from typing import Any

import click

_MOST = 50


def run_ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The newest runs whose id begins so."""
    return [one["id"] for one in _newest(context) if one["id"].startswith(incomplete)][:_MOST]


def workflow_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Workflows that live workers know, or that the newest runs are of."""
    names = {one["workflow"] for one in _newest(context)} | _known(context)
    return sorted(name for name in names if name.startswith(incomplete))


def _newest(context: click.Context) -> list[dict[str, str]]:
    from perdure.store.protocol import Store

    async def listed(store: Store) -> list[dict[str, str]]:
        return [{"id": one.id, "workflow": one.workflow} for one in await store.runs(limit=1000)]

    return _asked(context, listed) or []


def _known(context: click.Context) -> set[str]:
    from perdure.store.protocol import Store

    async def known(store: Store) -> set[str]:
        return {name for worker in await store.workers() if worker.state == "live" for name in worker.workflows}

    return _asked(context, known) or set()


def _asked(context: click.Context, action: Any) -> Any:
    """None where there is no store or it does not answer: whoever presses Tab wants no error."""
    url = context.params.get("store") or (context.parent.params.get("store") if context.parent else None) or os.environ.get("PERDURE_STORE")
    if not url:
        return None
    import asyncio

    from perdure.errors import PerdureError
    from perdure.store.opening import open_store

    async def asked() -> Any:
        store = open_store(url)
        try:
            await store.open(create=False, migrate=False)
            return await action(store)
        finally:
            await store.close()

    try:
        return asyncio.run(asked())
    except (PerdureError, OSError):  # then nothing is offered, as for a name that does not exist
        return None
