"""Options that every command takes, before or after its name; the one nearest to the end wins."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import click

from perdure.cli.complaints import Complaint

F = TypeVar("F", bound=Callable[..., Any])
COMPLETION_VARIABLE = "_PERDURE_COMPLETE"  # a shell that asks how a word may go on sets it


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


@dataclass(slots=True)
class Choices:
    """What the common options say. `output` None: a table on a terminal, tab-separated text elsewhere."""

    store: str | None = None
    namespace: str = "default"
    output: Output | None = None
    quiet: bool = False
    debug: bool = False

    @property
    def wants_json(self) -> bool:
        return self.output in (Output.JSON, Output.JSONL)

    @property
    def store_url(self) -> str:
        """--store, else PERDURE_STORE, else a complaint that says what to set."""
        url = self.store or os.environ.get("PERDURE_STORE")
        if not url:
            raise Complaint(
                "no store is named", "give --store sqlite:///orders.db, or set it for this shell: export PERDURE_STORE=sqlite:///orders.db"
            )
        return url


def _choose(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is None or value is False or context.resilient_parsing:
        return
    choices = context.find_object(Choices)
    if choices is not None and parameter.name is not None:
        setattr(choices, parameter.name, Output(value) if parameter.name == "output" else value)


_COMMON = (
    click.option("--store", metavar="URL", help="Where the runs are, e.g. sqlite:///orders.db. Default: PERDURE_STORE."),
    click.option("--namespace", metavar="NAME", help="The part of the store to use. Default: default."),
    click.option("-o", "--output", type=click.Choice([one.value for one in Output]), help="Default: a table on a terminal, else tabs."),
    click.option("-q", "--quiet", is_flag=True, help="Print ids only."),
    click.option("--debug", is_flag=True, help="Show where an error came from."),
)


def common_options(function: F) -> F:
    """Add the options to a command or group; they are kept in `Choices`, not passed to the function."""
    for option in reversed(_COMMON):
        function = option(function)
    parameters: list[click.Option] = getattr(function, "__click_params__", [])
    for parameter in parameters[-len(_COMMON) :]:
        parameter.expose_value = False
        parameter.callback = _choose
    return function


pass_choices = click.make_pass_decorator(Choices)
