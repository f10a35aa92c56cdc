"""Whether what was read back is what was given, and where it is not.

`==` answers in most cases and is asked first. This is asked when it says no: for NaN, for classes without `==`, for moments that
Python refuses to compare, and to name the first place that differs.
"""

import collections.abc as abc
import dataclasses
from datetime import UTC, datetime
from typing import Any

from perdure.codec.natural import is_of_pydantic, natural
from perdure.codec.refusal import Cause, Refusal, path_of, shown

JSON_TYPES = (str, int, float, list, dict)
LISTS = (list, tuple, abc.Set, abc.MutableSequence)


def check_same(given: object, back: object, *, naturally: bool) -> None:
    """Raise the Refusal of the first place where `back` is not `given`. `naturally`: parts without a hint may have become plain JSON."""
    if given is back or equal(given, back):
        return
    fields = fields_of(given, back)
    if fields is not None:
        check_fields(fields, naturally)
    elif isinstance(given, abc.Mapping) and isinstance(back, abc.Mapping):
        check_mappings(given, back, naturally)
    elif are_lists(given, back, naturally):
        check_lists(given, back, naturally)
    elif not (indistinguishable(given, back) or (naturally and became_natural(given, back))):
        raise Refusal(f"is {shown(given)} and would come back as {shown(back)}", cause=Cause.UNFIT)


def equal(given: object, back: object) -> bool:
    try:
        return bool(given == back)
    except Exception:  # a class may compare as it likes; then its parts are compared
        return False


def fields_of(given: Any, back: Any) -> list[tuple[str, Any, Any]] | None:
    """The fields of two objects of one dataclass or one pydantic model, in pairs."""
    if type(given) is not type(back):
        return None
    if is_of_pydantic(given, "BaseModel"):
        names = [*type(given).model_fields, *(given.model_extra or ()), *(back.model_extra or ())]
    elif dataclasses.is_dataclass(given):
        names = [field.name for field in dataclasses.fields(given)]
    else:
        return None
    return [(f".{name}", getattr(given, name, None), getattr(back, name, None)) for name in names]


def check_fields(fields: list[tuple[str, Any, Any]], naturally: bool) -> None:
    for path, given, back in fields:
        check_below(path, given, back, naturally)


def check_mappings(given: abc.Mapping[Any, Any], back: abc.Mapping[Any, Any], naturally: bool) -> None:
    if naturally and became_natural(given, back):
        return
    for key in given:
        if key not in back:
            raise Refusal(f"would lose its key {shown(key)}", cause=Cause.UNFIT)
        check_below(path_of(key), given[key], back[key], naturally)
    for key in back:
        if key not in given:
            raise Refusal(f"would gain the key {shown(key)}", cause=Cause.UNFIT)


def are_lists(given: object, back: object, naturally: bool) -> bool:
    if isinstance(given, abc.Set) or isinstance(back, abc.Set):
        return False
    return isinstance(given, LISTS) and isinstance(back, LISTS) and (naturally or type(given) is type(back))


def check_lists(given: Any, back: Any, naturally: bool) -> None:
    if len(given) != len(back):
        raise Refusal(f"has {len(given)} items and would come back with {len(back)}", cause=Cause.UNFIT)
    for index, (one, other) in enumerate(zip(given, back, strict=True)):
        check_below(f"[{index}]", one, other, naturally)


def check_below(path: str, given: object, back: object, naturally: bool) -> None:
    try:
        check_same(given, back, naturally=naturally)
    except Refusal as refusal:
        raise refusal.below(path) from None


def indistinguishable(given: Any, back: Any) -> bool:
    """True for what is the same although `==` denies it."""
    if isinstance(given, float) and isinstance(back, float):
        return given != given and back != back
    if isinstance(given, datetime) and isinstance(back, datetime):
        # Aware moments in the hour that a clock change repeats are equal to no moment of another zone (PEP 495).
        return given.tzinfo is not None and back.tzinfo is not None and given.astimezone(UTC) == back.astimezone(UTC)
    if isinstance(given, abc.Set) and isinstance(back, abc.Set):
        return False
    return type(given) is type(back) and not defines_equality(type(given))


def defines_equality(kind: type) -> bool:
    return any("__eq__" in vars(above) for above in kind.__mro__ if above is not object)


def became_natural(given: object, back: object) -> bool:
    if type(back) not in JSON_TYPES:
        return False
    try:
        return equal(natural(given), back)
    except Refusal:
        return False
