"""Those who only look: what they are shown is what was committed, no less than before they asked and no more than when they were told."""

from perdure import Client
from perdure.errors import RunNotFound
from tests.simulation.rows import RunShadow, Shadow
from tests.simulation.world import World

PAGE = 2


async def look_at_run(client: Client, world: World, shadow: Shadow, run_id: str) -> None:
    """Its history and its status."""
    before = shadow.runs.get(run_id)
    place = None if before is None else place_of(before)
    try:
        history = await client.run(run_id).history()
        status = await client.run(run_id).status()
    except RunNotFound:
        if before is not None and shadow.runs.get(run_id) is before:
            world.violate(f"I23: run {run_id} is there and is not shown")
        return
    after = shadow.runs.get(run_id)
    if before is None or after is not before or place is None:
        return
    world.saw("a run was looked at")
    if after.state == "failed" and status.state == "failed" and status.error is None:
        world.violate(f"I23: run {run_id} has failed, and its status does not say why")
    if after.generation == place[0] == 0 and not place[1] <= len(history) <= len(after.records):
        world.violate(f"I23: {len(history)} records of run {run_id} are shown; it had {place[1]}, and has {len(after.records)}")


def place_of(run: RunShadow) -> tuple[int, int]:
    return run.generation, len(run.records)


async def list_runs(client: Client, world: World, shadow: Shadow) -> None:
    """All of them, a page at a time: each that is there all the time stands in it, and none twice."""
    before = dict(shadow.runs)
    listed: list[str] = []
    cursor = None
    while True:
        page = await client.runs(limit=PAGE, cursor=cursor)
        listed += [one.id for one in page.runs]
        cursor = page.cursor
        if cursor is None:
            break
    world.saw("the runs were listed")
    there = {run_id for run_id, run in before.items() if shadow.runs.get(run_id) is run}
    if len(set(listed)) < len(listed) and not shadow.deleted:  # one that was deleted may have come anew meanwhile
        world.violate(f"I23: a run is listed twice: {listed}")
    if not there <= set(listed):
        world.violate(f"I23: runs {sorted(there - set(listed))} are there and are not listed")
