"""What `perdure dev` shows: runs by state, what each waits for, steps under way, retries and errors."""

import os
import sys
from typing import Any, Protocol

import click

from perdure.cli.output import STATE_COLOURS, escaped, has_colours, shown

_DOING_CHARACTERS_MOST = 200


class View(Protocol):
    """Where `dev` shows things."""

    def show(self, document: dict[str, Any]) -> None:
        """What the worker has under way by now."""

    def line(self, text: str) -> None:
        """Something that the worker, or code in it, wrote."""

    def note(self, text: str) -> None:
        """What `dev` does."""

    def problem(self, text: str) -> None:
        """What is wrong until a file changes."""

    def close(self) -> None: ...


def new_view() -> View:
    """A table that is kept up to date where that is possible (a terminal, rich installed); lines elsewhere."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        try:
            from perdure.cli.live_table import LiveTable

            return LiveTable()
        except ImportError:
            click.echo("install perdure[cli] for a table that stays up to date; until then, a line for each change", err=True)
    return Lines()


def doing(run: dict[str, Any]) -> str:
    """One run in words: steps under way, waits, then what went wrong."""
    steps = [f"step {one}" for one in run.get("steps", ())]
    text = "; ".join([*steps, *run.get("waits", ())])
    errors = "; ".join(run.get("errors", ()))
    text = f"{text} ({errors})" if text and errors else text or errors
    return escaped(text)[:_DOING_CHARACTERS_MOST]


def totals(document: dict[str, Any]) -> str:
    counts = document.get("counts", {})
    return ", ".join(f"{counts[state]} {state}" for state in STATE_COLOURS if counts.get(state)) or "no runs yet"


class Lines:
    """A line to standard output for each change of a run; what the worker writes goes to standard error."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._totals = ""

    def show(self, document: dict[str, Any]) -> None:
        told = {run["id"]: f"{run['status']}  {doing(run)}".rstrip() for run in document.get("runs", ())}
        for run in document.get("runs", ()):
            if self._told.get(run["id"]) != told[run["id"]]:
                self._print(f"{shown(run['id'])} ({shown(run['workflow'])}): {told[run['id']]}")
        for gone in self._told.keys() - told.keys():
            self._print(f"{shown(gone)}: ended")
        self._told = told
        if totals(document) != self._totals:
            self._totals = totals(document)
            self._print(f"runs: {self._totals}")

    def line(self, text: str) -> None:
        click.echo(text, err=True)

    def note(self, text: str) -> None:
        self._print(text)

    def problem(self, text: str) -> None:
        self._print(text)

    def close(self) -> None:
        sys.stdout.flush()

    def _print(self, text: str) -> None:
        click.echo(text, color=has_colours())
        sys.stdout.flush()
