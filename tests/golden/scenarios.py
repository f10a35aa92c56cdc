"""What is done with each workflow before its history is kept."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from perdure import Engine
from perdure.authoring.workflow import Workflow
from perdure.run import Run
from tests.acceptance.harness import Stage
from tests.golden import workflows
from tests.golden.workflows import Order

Act = Callable[[Stage, Engine, Run], Awaitable[Any]]
SECONDS = 30


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    workflow: Workflow[..., Any]
    act: Act
    arguments: tuple[object, ...] = ()


async def ends(stage: Stage, engine: Engine, run: Run) -> None:
    """Well or badly; whatever it waits for on the way, time brings."""
    await ends_after(stage, run, seconds_a_look=5)


async def ends_after_months(stage: Stage, engine: Engine, run: Run) -> None:
    await ends_after(stage, run, seconds_a_look=3 * 86400)


async def ends_after(stage: Stage, run: Run, seconds_a_look: float) -> None:
    async def is_over() -> bool:
        return (await run.status()).state in {"completed", "failed", "cancelled"}

    await stage.until(is_over, SECONDS, skipping=seconds_a_look)


async def parks(stage: Stage, engine: Engine, run: Run) -> None:
    await stage.until_parked(engine, run)


async def takes_signals(stage: Stage, engine: Engine, run: Run) -> None:
    await run.signal("a", 1)
    await stage.until_parked(engine, run)
    await run.signal("other", {"nobody": "asks"})
    await run.signal("c", 3)
    await stage.until_parked(engine, run)
    await run.signal("a", 4)
    await ends(stage, engine, run)


async def races(stage: Stage, engine: Engine, run: Run) -> None:
    for signals in (1, 0, 2):
        await stage.until_parked(engine, run)
        for _ in range(signals):
            await run.signal("go")
    await ends(stage, engine, run)


async def loses_its_worker(stage: Stage, engine: Engine, run: Run) -> None:
    await stage.until(lambda: stage.sql("select 1 from attempts where name = 'hangs_once' and intent is not null"))
    await stage.kill(engine)
    stage.skip(20)
    again = await stage.engine(*[one.workflow for one in SCENARIOS.values()])
    await ends(stage, again, again.run(run.id))


async def is_cancelled(stage: Stage, engine: Engine, run: Run) -> None:
    await stage.until_parked(engine, run)
    await run.cancel()
    await ends(stage, engine, run)


async def is_paused(stage: Stage, engine: Engine, run: Run) -> None:
    await stage.until_parked(engine, run)
    await run.pause()
    await stage.until_state(run, "paused")


async def is_retried(stage: Stage, engine: Engine, run: Run) -> None:
    workflows.later.clear()
    await stage.until_state(run, "failed")
    workflows.later.append(True)
    await run.retry()
    await ends(stage, engine, run)


ORDER = Order(17, Decimal("12.50"), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), ["book", "事務"])
SCENARIOS = {
    one.name: one
    for one in [
        Scenario("plain_steps", workflows.plain_steps, ends, (ORDER,)),
        Scenario("sleeps", workflows.sleeps, ends_after_months),
        Scenario("times_out", workflows.times_out, ends),
        Scenario("gathers", workflows.gathers, ends),
        Scenario("groups", workflows.groups, ends),
        Scenario("waits_for_the_first", workflows.waits_for_the_first, ends),
        Scenario("takes_signals", workflows.takes_signals, takes_signals),
        Scenario("races", workflows.races, races),
        Scenario("tries_again", workflows.tries_again, ends),
        Scenario("fails_in_the_end", workflows.fails_in_the_end, ends, ("book",)),
        Scenario("fails_with_its_step", workflows.fails_with_its_step, ends),
        Scenario("runs_once", workflows.runs_once, loses_its_worker),
        Scenario("asks_for_values", workflows.asks_for_values, ends),
        Scenario("coordinates", workflows.coordinates, ends),
        Scenario("flows", workflows.flows, ends),
        Scenario("shields", workflows.shields, ends),
        Scenario("abandons_a_step", workflows.abandons_a_step, parks),
        Scenario("waits_between_tries", workflows.waits_between_tries, parks),
        Scenario("waits_long", workflows.waits_long, parks, (60,)),
        Scenario("waits_long_paused", workflows.waits_long, is_paused, (60,)),
        Scenario("cleans_up", workflows.cleans_up, is_cancelled),
        Scenario("recovers", workflows.recovers, is_retried, ("book",)),
        Scenario("undoes", workflows.undoes, ends),
    ]
}
"""By name, which is that of the file. New ones go to the end."""
