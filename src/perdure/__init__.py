"""Durable workflows for Python: ordinary `async def` functions that survive the process they run in."""

from perdure import errors
from perdure.authoring.current import Info
from perdure.authoring.step import step
from perdure.authoring.values import info, now, random, set_status, uuid4
from perdure.authoring.waiting import receive, sleep_until
from perdure.authoring.workflow import workflow
from perdure.client import Client
from perdure.engine.service import Engine
from perdure.model.retry import Retry
from perdure.run import Run, RunStatus

__all__ = [
    "Client",
    "Engine",
    "Info",
    "Retry",
    "Run",
    "RunStatus",
    "errors",
    "info",
    "now",
    "random",
    "receive",
    "set_status",
    "sleep_until",
    "step",
    "uuid4",
    "workflow",
]
