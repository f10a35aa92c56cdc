"""What pydantic knows about a type hint, adjusted to what a store needs.

Four things differ from pydantic's defaults, in whatever depth: sets are written in order (their own depends on the process), bytes as
base64 (else only UTF-8 can be stored), infinite floats and NaN as text (else they become null), and values without a hint as
`perdure.codec.natural` says (else an open file or an endless generator would be read to its end).
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_core import CoreConfig, CoreSchema, SchemaSerializer, SchemaValidator, core_schema

from perdure.codec.natural import in_order, is_plain, natural
from perdure.codec.typed_dicts import modern

CONFIG = CoreConfig(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings")

BY_NAME = CoreConfig(validate_by_name=True, serialize_by_alias=False)  # aliases for reading and for writing need not agree

CONFIGURED = ("model", "dataclass", "typed-dict")
NOT_SCHEMAS = ("metadata", "default", "cls", "expected", "members", "config")
READ_AS_LIST = ("generator", "json-or-python")  # Iterable and Sequence say nothing of the type that comes back


class Schema:
    """How values of one hint are written and read."""

    __slots__ = ("is_natural", "serializer", "validator")

    def __init__(self, hint: object, namespace: Mapping[str, Any], *, is_closed: bool = False) -> None:
        """`is_closed`: of a TypedDict; keys that it does not name are an error. What lies in it is not affected."""
        core = core_schema_of(modern(hint), namespace)
        kinds: set[str] = set()
        adjusted = cast(CoreSchema, adjust(core, kinds))
        if is_closed:
            cast(dict[str, Any], adjusted.get("schema", adjusted))["extra_behavior"] = "forbid"
        # Classes carry a compiled schema of their own, without the adjustments.
        self.serializer = SchemaSerializer(adjusted, CONFIG, _use_prebuilt=False)
        self.validator = SchemaValidator(adjusted, CONFIG, _use_prebuilt=False)
        self.is_natural = not kinds.isdisjoint({"any", *READ_AS_LIST})


def core_schema_of(hint: Any, namespace: Mapping[str, Any]) -> CoreSchema:
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    if not adapter.pydantic_complete:
        adapter.rebuild(raise_errors=True, _types_namespace=dict(namespace))
    return adapter.core_schema


def adjust(node: Any, kinds: set[str]) -> Any:
    """A copy of the schema with the adjustments; `kinds` gathers the types that occur in it."""
    if isinstance(node, list):
        return [adjust(item, kinds) for item in node]
    if isinstance(node, tuple):
        return tuple(adjust(item, kinds) for item in node)
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if not isinstance(kind, str):
        return {key: adjust(value, kinds) for key, value in node.items()}
    kinds.add(kind)
    copy = {key: value if key in NOT_SCHEMAS else adjust(value, kinds) for key, value in node.items()}
    return ADJUSTMENTS.get(kind, adjust_configured if kind in CONFIGURED else unchanged)(copy)


def unchanged(node: dict[str, Any]) -> dict[str, Any]:
    return node


def adjust_configured(node: dict[str, Any]) -> dict[str, Any]:
    return {**node, "config": {**CONFIG, **node.get("config", {}), **BY_NAME}}


def adjust_any(node: dict[str, Any]) -> dict[str, Any]:
    return {"serialization": core_schema.plain_serializer_function_ser_schema(natural_of_any, when_used="json"), **node}


def natural_of_any(value: object) -> Any:
    return natural(value) if type(value) is float or not is_plain(value) else value


def adjust_set(node: dict[str, Any]) -> dict[str, Any]:
    return {"serialization": core_schema.wrap_serializer_function_ser_schema(write_set, when_used="json"), **node}


def write_set(value: Any, write: Callable[[Any], Any]) -> Any:
    items = write(value)
    return in_order(items) if isinstance(items, list) else items


def adjust_dict(node: dict[str, Any]) -> dict[str, Any]:
    """Keys stay as pydantic writes them: no text but theirs is possible there."""
    keys = node.get("keys_schema")
    if isinstance(keys, dict) and keys.get("type") == "any":
        return {**node, "keys_schema": {"type": "any"}}
    return node


def adjust_iterable(node: dict[str, Any]) -> dict[str, Any]:
    return {"type": "list", **{key: node[key] for key in ("items_schema", "ref") if key in node}}


ADJUSTMENTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "any": adjust_any,
    "set": adjust_set,
    "frozenset": adjust_set,
    "dict": adjust_dict,
    "generator": adjust_iterable,
}
