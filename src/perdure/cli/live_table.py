"""The live view on a terminal, drawn by rich: a table that stays below what is written."""

from typing import TYPE_CHECKING, Any

from perdure.cli.live_view import doing, totals
from perdure.cli.output import STATE_COLOURS, shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ROWS_LEFT = 8  # of the terminal, for the heading and what is written above


class LiveTable:
    """What the worker writes scrolls by above the table. Raises ImportError where rich is not installed."""

    def __init__(self, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console()
        self._document: dict[str, Any] = {}
        self._note = ""
        self._problem = ""
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()

    def show(self, document: dict[str, Any]) -> None:
        self._document = document
        self._draw()

    def line(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.from_ansi(text))

    def note(self, text: str) -> None:
        self._note, self._problem = text, ""
        self._draw()

    def problem(self, text: str) -> None:
        self._problem = text
        self._draw()

    def close(self) -> None:
        self._live.stop()

    def _draw(self) -> None:
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        parts: list[Any] = [_table(self._document, max(3, self._console.height - _ROWS_LEFT))]
        if self._problem:
            parts.append(Panel(Text(self._problem), border_style="red", title="waiting for a change"))
        parts.append(Text(f"{totals(self._document)}   ·   {self._note}", style="dim"))
        self._live.update(Group(*parts), refresh=True)


def _table(document: dict[str, Any], rows: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, expand=True, header_style="bold")
    for heading, ratio in (("run", 3), ("workflow", 2), ("status", None), ("doing", 6)):
        table.add_column(heading.upper(), ratio=ratio, no_wrap=True, overflow="ellipsis")
    runs = document.get("runs", ())
    for run in runs[:rows]:
        status = Text(run["status"], style=STATE_COLOURS.get(run["status"], "white"))
        table.add_row(Text(shown(run["id"])), Text(shown(run["workflow"])), status, Text(doing(run)))
    if len(runs) > rows:
        table.add_row(Text(f"… {len(runs) - rows} more", style="dim"), "", "", "")
    return table
