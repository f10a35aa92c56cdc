"""The JSON that values without a usable type hint become.

Nothing says how to read such a value back, so it comes back as the JSON it became: tuple, set, deque and named tuple as a list (sets
sorted), dataclass and pydantic model as a dict, keys as str, Enum as its value, datetime, date, time, timedelta, UUID, Decimal, path
and the like as a str, bytes as base64. What has no such form is refused, with the place it was found at.
"""

import collections.abc as abc
import dataclasses
import io
import json
import math
import sys
import types
from collections import deque
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json, to_jsonable_python

from perdure.codec.refusal import Refusal, path_of, shown, shown_error

DEPTH_MOST = 180  # the JSON parser refuses beyond 200 levels, the envelope takes a few
INT_BITS_MOST = 14_280  # 4,300 digits, the most that the JSON parser and Python's own int() read

MASKED = "is a secret, which would be stored masked; fetch it inside the step that needs it"
ATOMS = frozenset((str, int, float, bool, types.NoneType))
KEY_TYPES = (str, int, float, Enum, UUID, Decimal, datetime, date, types.NoneType)
AS_TEXT = (PurePath, IPv4Address, IPv6Address, IPv4Network, IPv6Network, IPv4Interface, IPv6Interface)

ADVICE: tuple[tuple[tuple[type, ...], str], ...] = (
    ((io.IOBase,), "is an open file; return its path or its content"),
    ((abc.Coroutine, abc.Awaitable), "is a coroutine that was not awaited; await it first"),
    ((abc.AsyncIterator,), "is an asynchronous generator; collect what it yields into a list"),
    ((abc.Iterator,), "is a generator or iterator; collect what it yields into a list"),
    ((type,), "is a class; pass its name"),
    ((types.FunctionType, types.MethodType, types.BuiltinFunctionType), "is a function; pass data and call it where it is needed"),
    ((BaseException,), "is an exception; pass its text"),
)


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is JSON already: of exactly the types that JSON is read back as."""
    kind = type(value)
    if kind in ATOMS:
        return True
    if depth > DEPTH_MOST:
        return False
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    elif kind is not list:
        return False
    for item in value:  # noqa: SIM110 - a generator costs more than looking at most values does
        if type(item) not in ATOMS and not is_plain(item, depth + 1):
            return False
    return True


def natural(value: object, depth: int = 0) -> Any:
    """The value as None, bool, int, float, str, list and dict only; raises Refusal, whatever the value's own methods raise."""
    try:
        return plain_form(value, depth)
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(f"is {shown(value)}, which cannot be read: {shown_error(error)}") from error


def plain_form(value: object, depth: int) -> Any:
    if depth > DEPTH_MOST:
        raise Refusal(f"is nested deeper than {DEPTH_MOST} levels, or contains itself")
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return natural(value.value, depth + 1)
    if isinstance(value, str):
        return natural_text(value)
    if isinstance(value, int):
        return natural_int(int(value))
    if isinstance(value, float):
        return natural_float(float(value))
    if isinstance(value, abc.Mapping):
        return natural_mapping(value, depth)
    if isinstance(value, (set, frozenset, abc.KeysView)):
        return in_order([below(item, "{…}", depth) for item in value])
    if isinstance(value, (list, tuple, deque, abc.ValuesView)):
        return [below(item, f"[{index}]", depth) for index, item in enumerate(value)]
    if is_of_pydantic(value, "BaseModel"):
        return natural_model(value, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: below(getattr(value, field.name), f".{field.name}", depth) for field in dataclasses.fields(value)}
    return natural_leaf(value)


def below(value: object, path: str, depth: int) -> Any:
    if value is None or value is True or value is False:
        return value
    try:
        return natural(value, depth + 1)
    except Refusal as refusal:
        raise refusal.below(path) if depth < 20 else refusal from None


def natural_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal("holds a lone surrogate, which is not text; clean it with .encode('utf-8', 'replace').decode()") from None
    return str(text)


def natural_int(number: int) -> int:
    if number.bit_length() > INT_BITS_MOST:
        raise Refusal("is a whole number of more than 4,300 digits; pass it as text or bytes")
    return number


def natural_float(number: float) -> float:
    if not math.isfinite(number):
        raise Refusal(f"is {number}, which JSON cannot say; with the type hint float it can be stored")
    return number


def natural_mapping(mapping: abc.Mapping[object, object], depth: int) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for key, value in mapping.items():
        name = natural_key(key)
        if name in entries:
            raise Refusal(f"has two keys that both become {name!r} in JSON")
        entries[name] = below(value, path_of(key), depth)
    return entries


def natural_key(key: object) -> str:
    if isinstance(key, str):
        return natural_text(key.value if isinstance(key, Enum) else key)
    if not isinstance(key, KEY_TYPES):
        raise Refusal(f"has the key {shown(key)}, which JSON cannot say; use text, numbers, dates or a list of pairs")
    return str(next(iter(from_json(to_json({key: None})))))


def is_of_pydantic(value: object, *names: str) -> bool:
    """Whether it is of one of these classes. A program that has none need not load them: that takes longer than most commands."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(value, tuple(getattr(pydantic, name) for name in names))


def natural_model(model: Any, depth: int) -> Any:
    try:
        dumped = model.model_dump(round_trip=True, by_alias=False, warnings=False)
    except Exception as error:  # a model's own serializers may raise anything
        raise Refusal(f"is a {type(model).__qualname__} that cannot be dumped: {shown_error(error)}") from error
    return natural(dumped, depth)


def natural_leaf(value: object) -> Any:
    if is_of_pydantic(value, "SecretStr", "SecretBytes"):
        raise Refusal(MASKED)
    for kinds, advice in ADVICE:
        if isinstance(value, kinds):
            raise Refusal(advice)
    if isinstance(value, AS_TEXT):
        return str(value)
    try:
        return to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="strings")
    except Exception as error:
        reason = f"is of the type {type(value).__module__}.{type(value).__qualname__}, which cannot be stored as JSON"
        raise Refusal(f"{reason}; pass the data it stands for") from error


def in_order(items: list[Any]) -> list[Any]:
    """The items of a set in an order that does not depend on the process; sets have none, and their hashes are random."""
    if all(type(item) is str for item in items) or all(type(item) is int for item in items):
        return sorted(items)
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
