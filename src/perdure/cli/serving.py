"""One worker in this process: runs an engine until a signal, a lost supervisor or the engine itself asks for the end."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from perdure.cli.collector import tune_collector
from perdure.cli.output import shown_url
from perdure.cli.reporting import Reports
from perdure.cli.stopping import Stopping
from perdure.engine.service import Engine

if TYPE_CHECKING:
    from perdure.authoring.workflow import Workflow

log = logging.getLogger("perdure.worker")
_PROGRESS_SECONDS = 2.0  # on a terminal: how often a line may say what changed


def serve(engine: Engine, where: str, workflows: "Sequence[Workflow[..., Any]]", reports: Reports | None) -> int:
    """The exit status of the process."""
    tune_collector()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(engine, where, [one.name for one in workflows], reports))


async def _serve(engine: Engine, where: str, names: list[str], reports: Reports | None) -> int:
    stopping = Stopping(engine, asyncio.get_running_loop())
    stopping.listen()
    async with engine:
        stopping.is_serving = True
        log.info("worker %d runs %s on %s", os.getpid(), ", ".join(names), shown_url(where))
        if reports is not None:
            reports.begin(engine, on_gone=stopping.ask)
        progress = asyncio.create_task(_tell_progress(engine)) if sys.stderr.isatty() and reports is None else None
        engine.failure.add_done_callback(lambda _: stopping.asked.set())
        await stopping.asked.wait()
        if progress is not None:
            progress.cancel()
        if engine.failure.done():
            engine.failure.result()
        if reports is not None:
            reports.end()
    log.info("stopped")
    return stopping.exit


async def _tell_progress(engine: Engine) -> None:
    """A line when something has changed, at most each few seconds."""
    told = (0, 0)
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        stands = (len(engine.worker.live), engine.worker.checkpoints)
        if stands != told:
            log.info("%d runs in memory, %d checkpoints written (+%d)", *stands, stands[1] - told[1])
        told = stands


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed; it halves the cost of the event loop."""
    if find_spec("uvloop") is None:
        return None  # asyncio's own
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory
