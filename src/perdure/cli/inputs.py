"""What people type: JSON and durations."""

import json
import re
import sys
from typing import Any, NoReturn

import click

from perdure.cli.complaints import Complaint
from perdure.clock import to_microseconds

_ENDED = ("completed", "failed", "cancelled")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str) -> float:
    """A duration: seconds, or a number with s, m, h or d behind it."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip(), re.ASCII)
    if found is None:
        raise click.BadParameter(f"{text!r} is no duration; write seconds (90, 0.5) or a number with a unit (30s, 5m, 2h, 1d)")
    length = float(found[1]) * _UNITS[found[2]]
    try:
        to_microseconds(length)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is too long: {error}") from error
    return length


def retention(text: str) -> tuple[str, float]:
    """How long runs that ended in one state are kept: `completed=30d`."""
    state, separator, length = text.partition("=")
    if not separator or state not in _ENDED:
        raise click.BadParameter(f"{text!r} says not how long runs are kept; write completed=30d, failed=90d or cancelled=7d")
    return state, seconds(length)


def json_value(text: str | None, option: str) -> Any:
    """The JSON of an option; `-` reads it from standard input. None where the option was not given."""
    if text is None:
        return None
    try:
        return json.loads(sys.stdin.read() if text == "-" else text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        where = "standard input" if text == "-" else option
        remedy = f"""write JSON, quoted for the shell: {option} '{{"amount": 12.5}}', or {option} '"text"', or {option} - to read a file"""
        raise Complaint(f"{where} is no JSON: {error}", remedy) from error


def json_object(text: str | None, option: str) -> dict[str, Any]:
    """The same, and it must be an object: arguments by parameter name."""
    value = json_value(text, option)
    if value is None and text is None:
        return {}
    if not isinstance(value, dict):
        raise Complaint(
            f"{option} must be a JSON object of arguments by parameter name, not {type(value).__name__}",
            f"""for `async def fulfil(order_id: str)` write {option} '{{"order_id": "A-17"}}'""",
        )
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
