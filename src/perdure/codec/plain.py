"""Stored values and failures as plain data, for whoever only shows them: without pydantic, which takes too long to load."""

import json
from collections.abc import Mapping
from typing import Any

from perdure.errors import DecodeError

UNREADABLE = {"type": "unknown", "message": "the stored failure cannot be read", "traceback": ""}


def plain(payload: bytes, *, what: str) -> Any:
    """Any stored value as JSON; DecodeError if it is none."""
    try:
        return json.loads(payload.decode())
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"{what}: it is no JSON: {error}") from error


def describe_failure(payload: bytes) -> dict[str, Any]:
    """Type, message and traceback as text, for history and the command line."""
    return described(parsed(payload))


def described(failure: Mapping[str, Any]) -> dict[str, Any]:
    return {key: str(failure.get(key, unknown)) for key, unknown in UNREADABLE.items()}


def parsed(payload: bytes) -> Mapping[str, Any]:
    try:
        failure = plain(payload, what="the failure")
    except DecodeError:  # recorded: replays must go on to see one and the same failure
        return UNREADABLE
    return failure if isinstance(failure, dict) else UNREADABLE
