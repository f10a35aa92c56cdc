"""The type hints of a function, each by itself: one that cannot be resolved does not spoil the others."""

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

TYPING_MODULES = ("typing", "typing_extensions", "types")


def hints_of(function: Callable[..., object], namespace: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The hints by parameter name, "return" among them, and why the missing ones cannot be resolved."""
    try:
        return typing.get_type_hints(function, localns=dict(namespace), include_extras=True), {}
    except Exception:  # put back: each hint is tried alone, and what fails is reported with its reason
        return hints_one_by_one(function, namespace)


def hints_one_by_one(function: Callable[..., object], namespace: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    innermost = inspect.unwrap(function)
    hints: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, annotation in getattr(innermost, "__annotations__", {}).items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            known = getattr(innermost, "__globals__", {})
            hints |= typing.get_type_hints(alone, known, dict(namespace), include_extras=True)
        except Exception as error:  # recorded: it is told to whoever passes a value that needs the hint
            reason = f"{type(error).__name__}: {error}"
            problems[name] = f"its type hint {annotation!r} cannot be resolved ({reason}); import it at run time, at the top of the module"
    return hints, problems


def local_classes(function: Callable[..., object]) -> dict[str, Any]:
    """The classes beside a function that is defined inside another: hints written as text can be resolved only while that one runs."""
    innermost = inspect.unwrap(function)
    enclosing, found, _ = getattr(innermost, "__qualname__", "").rpartition(".<locals>.")
    if not found or not any(isinstance(hint, str) for hint in getattr(innermost, "__annotations__", {}).values()):
        return {}
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and (frame.f_code.co_qualname != enclosing or frame.f_globals is not innermost.__globals__):
        frame = frame.f_back
    return {} if frame is None else {name: value for name, value in frame.f_locals.items() if is_hint(value)}


def is_hint(value: object) -> bool:
    return isinstance(value, type) or type(value).__module__ in TYPING_MODULES
