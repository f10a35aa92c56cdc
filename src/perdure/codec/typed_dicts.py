"""`typing.TypedDict` for pydantic on Python 3.11, which accepts the one of typing_extensions only."""

import sys
import types
import typing
from typing import Any, get_args, get_origin, get_type_hints

import typing_extensions

MARKS = (typing.Required, typing.NotRequired, typing_extensions.Required, typing_extensions.NotRequired)


def modern(hint: Any, above: tuple[Any, ...] = ()) -> Any:
    """The hint with every `typing.TypedDict` that stands outside a dataclass or model replaced by its equal of typing_extensions."""
    if sys.version_info >= (3, 12):
        return hint
    if is_old(hint):
        return hint if hint in above else modern_class(hint, (*above, hint))
    arguments = get_args(hint)
    if not any(map(mentions_old, arguments)):
        return hint
    replaced = tuple(modern(argument, above) for argument in arguments)
    origin = get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return typing.Union[replaced]  # noqa: UP007 - built from a tuple
    if origin is typing.Annotated:
        return typing.Annotated[(replaced[0], *hint.__metadata__)]
    return origin[replaced[0] if origin in MARKS else replaced] if origin is not None else hint


def is_old(hint: Any) -> bool:
    return typing.is_typeddict(hint) and type(hint).__module__ == "typing"


def mentions_old(hint: Any) -> bool:
    return is_old(hint) or any(map(mentions_old, get_args(hint)))


def modern_class(old: Any, above: tuple[Any, ...]) -> Any:
    fields = {}
    for name, hint in get_type_hints(old, include_extras=True).items():
        bare = get_args(hint)[0] if get_origin(hint) in MARKS else hint
        mark: Any = typing_extensions.Required if name in old.__required_keys__ else typing_extensions.NotRequired
        fields[name] = mark[modern(bare, above)]
    create: Any = typing_extensions.TypedDict
    return create(old.__name__, fields)
