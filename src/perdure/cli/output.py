"""What commands print: a table on a terminal, tab-separated text in a pipe, or JSON and nothing but JSON."""

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import click

from perdure.cli.options import Choices, Output

Document = Mapping[str, Any]
_NARROWEST = 12  # characters a column keeps when the terminal is too narrow

STATE_COLOURS = {
    "pending": "blue",
    "running": "cyan",
    "waiting": "yellow",
    "paused": "yellow",
    "quarantined": "magenta",
    "completed": "green",
    "failed": "red",
    "cancelled": "bright_black",
}


def has_colours() -> bool:
    """Colours on a terminal, unless NO_COLOR is set (no-color.org) or the terminal is dumb."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def json_text(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=_plain)


def _plain(value: Any) -> Any:
    """What JSON has no word for."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def shown(value: Any) -> str:
    """One value for people, on one line. Control characters are escaped: stored text must not steer the terminal."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}" if sys.stdout.isatty() else str(_plain(value))
    text = value if isinstance(value, str) else json_text(value)
    return escaped(text)


def escaped(text: str) -> str:
    """Everything that is not printable as Python would write it."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def shown_url(url: str) -> str:
    """The store's address without its password."""
    from urllib.parse import urlsplit  # one command in ten shows an address

    password = urlsplit(url).password
    return url if password is None else url.replace(f":{password}@", ":***@", 1)


# ── lists and single things ──────────────────────────────────────────────────────────────────────────────────────────


def print_list(choices: Choices, columns: Sequence[str], documents: Sequence[Document], *, whole: Any = None) -> None:
    """Many things. `columns` are keys of the documents; `whole` is what `-o json` prints in place of the plain list."""
    if choices.output is Output.JSON:
        click.echo(json_text(documents if whole is None else whole, indent=_indent()))
        return
    if choices.output is Output.JSONL:
        for document in documents:
            click.echo(json_text(document))
        return
    rows = [[shown(document.get(column)) for column in columns] for document in documents]
    if choices.output is Output.TABLE or sys.stdout.isatty():
        print_table([column.replace("_", " ") for column in columns], rows)
    else:
        for row in rows:
            click.echo("\t".join(row))


def print_one(choices: Choices, document: Document, *, names: Sequence[str] | None = None) -> None:
    """One thing: its fields below each other. JSON has all of them, people see those in `names` that hold something."""
    if choices.wants_json:
        click.echo(json_text(document, indent=_indent() if choices.output is Output.JSON else None))
        return
    facts = [(name.replace("_", " "), text) for name in names or document for text in _lines(document.get(name))]
    width = max((len(name) for name, _ in facts), default=0)
    is_aligned = choices.output is Output.TABLE or sys.stdout.isatty()
    for name, text in facts:
        line = f"{click.style(name.ljust(width), dim=True)}  {_in_colour(text)}" if is_aligned else f"{name}\t{text}"
        click.echo(line, color=has_colours())


def _lines(value: Any) -> list[str]:
    if value is None or value == [] or value == "":
        return []
    if isinstance(value, list) and all(isinstance(one, dict) and "text" in one for one in value):
        return [shown(one["text"]) for one in value]
    return [shown(value)]


def _indent() -> int | None:
    return 2 if sys.stdout.isatty() else None


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for line in table_lines(headings, rows, shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
        click.echo(line, color=has_colours())


def table_lines(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Aligned columns; where they are wider than `width`, the widest are cut."""
    columns = range(len(headings))
    widths = [max(cells(row[column]) for row in [headings, *rows]) for column in columns]
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    head = "  ".join(fitted(headings[column].upper(), widths[column]) for column in columns).rstrip()
    return [click.style(head, bold=True), *("  ".join(_cell(row[column], widths[column]) for column in columns).rstrip() for row in rows)]


def _cell(text: str, width: int) -> str:
    padded = fitted(text, width)
    return padded.replace(text, _in_colour(text), 1) if text in STATE_COLOURS else padded


def _in_colour(text: str) -> str:
    return click.style(text, fg=STATE_COLOURS[text]) if text in STATE_COLOURS else text


def fitted(text: str, width: int) -> str:
    """Cut or filled up to a number of terminal cells."""
    if cells(text) > width:
        kept, used = "", 0
        for one in text:
            if used + _cells_of(one) > width - 1:
                break
            kept, used = kept + one, used + _cells_of(one)
        text = kept + "…"
    return text + " " * (width - cells(text))


def cells(text: str) -> int:
    """How many cells of a terminal a text takes; East Asian wide characters take two."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
