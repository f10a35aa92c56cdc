"""`perdure worker APP`: a process that runs workflows until it is told to stop."""

import gc
import logging
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from perdure.cli.options import Choices, common_options, pass_choices
from perdure.cli.output import shown_url
from perdure.cli.stopping import Stopping

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from perdure.engine.service import Engine

log = logging.getLogger("perdure.worker")

_PROGRESS_SECONDS = 2.0  # on a terminal: how often a line may say what changed


@click.command(short_help="Run the workflows of APP until told to stop.")
@click.argument("app")
@click.option("--no-migrate", is_flag=True, help="Neither create nor migrate the store: refuse one that is missing or old.")
@common_options
@pass_choices
def worker(choices: Choices, app: str, no_migrate: bool) -> int:
    """Run the workflows of APP: a file.py, a package.module, or either with :name of a list of workflows behind it.

    Start as many workers on one store as you like; each run belongs to one of them at a time. A worker that dies loses
    nothing: the next one goes on from the last recorded step.

    SIGTERM or Ctrl-C stops it cleanly: steps under way may end (10 s), runs are handed over. A second one stops waiting
    for the steps, a third one leaves at once. All it says goes to standard error.

    \b
    Examples:
      perdure worker shop.py --store sqlite:///orders.db
      perdure worker company.flows.orders:workflows
    """
    import asyncio

    from perdure.cli.loading import load_workflows
    from perdure.cli.logs import begin_logging

    url = choices.store_url
    begin_logging(is_quiet=choices.quiet, is_debug=choices.debug)
    workflows = load_workflows(app)
    from perdure.engine.service import Engine

    _tune_collector()
    engine = Engine(url, workflows, namespace=choices.namespace, migrate=not no_migrate)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(engine, url, [one.name for one in workflows]))


def _tune_collector() -> None:
    """Runs in memory are many objects and no garbage: looking through them again and again would cost a third of the time."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


async def _serve(engine: "Engine", where: str, names: list[str]) -> int:
    """Run until a signal asks for the end, or the engine cannot go on."""
    import asyncio

    stopping = Stopping(engine, asyncio.get_running_loop())
    stopping.listen()
    async with engine:
        stopping.is_serving = True
        log.info("worker %d runs %s on %s", os.getpid(), ", ".join(names), shown_url(where))
        progress = asyncio.create_task(_tell_progress(engine)) if sys.stderr.isatty() else None
        engine.failure.add_done_callback(lambda _: stopping.asked.set())
        await stopping.asked.wait()
        if progress is not None:
            progress.cancel()
        if engine.failure.done():
            engine.failure.result()
    log.info("stopped")
    return stopping.exit


async def _tell_progress(engine: "Engine") -> None:
    """A line when something has changed, at most each few seconds."""
    import asyncio

    told = (0, 0)
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        stands = (len(engine.worker.live), engine.worker.checkpoints)
        if stands != told:
            log.info("%d runs in memory, %d checkpoints written (+%d)", *stands, stands[1] - told[1])
        told = stands


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    """uvloop where it is installed; it halves the cost of the event loop."""
    if find_spec("uvloop") is None:
        return None  # asyncio's own
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory
