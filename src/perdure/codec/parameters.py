"""The arguments of a function as one JSON object by parameter name, and its result."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from pydantic_core import from_json, to_json

from perdure.codec.hints import hints_of, local_classes
from perdure.codec.natural import natural
from perdure.codec.refusal import Cause, Refusal, check_size, shown
from perdure.codec.signatures import POSITIONAL, Shape
from perdure.codec.values import Codec
from perdure.errors import BadInput, DecodeError, EncodeError

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def encode_unbound(args: tuple[object, ...], kwargs: Mapping[str, object], *, what: str, limit: int) -> bytes:
    """Arguments for a function that is not known here: `{"*": [those without a name], name: …}`, read back by the hints of the function.

    Where all have names the bytes are those that the function itself would give for the same JSON.
    """
    if POSITIONAL in kwargs:
        raise BadInput(f"{what}: no parameter can be named '{POSITIONAL}'")
    unnamed = {POSITIONAL: list(args)} if args else {}
    return Codec(Any).encode({**unnamed, **kwargs}, what=what, limit=limit)


class Parameters:
    """How the arguments of one function are written and read. Create it where the function is defined: there its hints can be resolved."""

    def __init__(self, function: Callable[..., object], what: str, *, skipped: int = 0) -> None:
        """`skipped`: how many of its first parameters are given by whoever calls it, and not stored."""
        self.function = function
        self.skipped = skipped
        self.what = what
        self.input = f"input of {what}"
        self.namespace = local_classes(function)

    def encode(self, args: tuple[object, ...], kwargs: Mapping[str, object], *, limit: int) -> bytes:
        """What the caller supplied, before defaults, as a JSON object by parameter name.

        Raises BadInput for a parameter that is missing, unknown, given twice or given a value that does not fit its hint, EncodeError for
        a value that cannot be stored, PayloadTooLarge above `limit` bytes.
        """
        return self.copy(args, kwargs, limit=limit)[0]

    def copy(self, args: tuple[object, ...], kwargs: Mapping[str, object], *, limit: int) -> tuple[bytes, tuple[Any, ...], dict[str, Any]]:
        """The bytes, and the arguments that they read back as, ready to call."""
        shape = self.shape
        given = shape.named_arguments(args, kwargs, self.what)
        if shape.whole is not None:
            try:
                payload, back = shape.whole.write(given, self.input, limit)
                return payload, *shape.ready(back)
            except Refusal:  # put back: each parameter is tried alone, so that the message names it
                pass
        shape.check_names(given, self.what)
        return self.copy_one_by_one(given, limit)

    def decode(self, payload: bytes) -> Arguments:
        """The arguments, ready to call; also of what `encode_unbound` wrote. Raises BadInput naming the field, DecodeError if damaged."""
        shape = self.shape
        if shape.whole is not None:
            try:
                return shape.ready(shape.whole.read(payload))
            except Refusal:  # put back: each parameter is tried alone, so that the message names it
                pass
        given = shape.with_names(self.parsed(payload), self.what)
        shape.check_names(given, self.what)
        return shape.ready({name: self.read_one(name, value, by_alias=False) for name, value in given.items()})

    def encode_json(self, given: Mapping[str, Any], *, limit: int) -> bytes:
        """The same bytes from a JSON object by parameter name, as the command line and HTTP supply it. Raises as `encode` does."""
        if not isinstance(given, Mapping):
            raise BadInput(f"{self.what}: the input is {shown(given)}; it must be an object by parameter name")
        self.shape.check_names(given, self.what)
        values = {name: self.read_one(name, value, by_alias=True) for name, value in given.items()}
        return self.copy_one_by_one(self.shape.in_order(values), limit)[0]

    @cached_property
    def shape(self) -> Shape:
        return Shape(self.function, self.namespace, self.skipped)

    def copy_one_by_one(self, given: Mapping[str, object], limit: int) -> tuple[bytes, tuple[Any, ...], dict[str, Any]]:
        parts: list[bytes] = []
        back: dict[str, Any] = {}
        for name, value in given.items():
            payload, back[name] = self.write_one(name, value, limit)
            parts.append(to_json(name) + b":" + payload)
        whole = b"{" + b",".join(parts) + b"}"
        check_size(whole, self.input, limit)
        return whole, *self.shape.ready(back)

    def write_one(self, name: str, value: object, limit: int) -> tuple[bytes, Any]:
        try:
            return self.shape.codec_of(name).write(value, f"argument {name} of {self.what}", limit)
        except Refusal as refusal:
            raise self.error_of(name, refusal) from refusal.__cause__

    def read_one(self, name: str, value: object, *, by_alias: bool) -> Any:
        try:
            return self.shape.codec_of(name).read(to_json(natural(value)), by_alias=by_alias)
        except Refusal as refusal:
            raise BadInput(refusal.below(name).told(self.what)) from refusal.__cause__

    def error_of(self, name: str, refusal: Refusal) -> BadInput | EncodeError:
        text = refusal.below(name).told(self.what)
        return BadInput(text) if refusal.cause is Cause.UNFIT else EncodeError(text)

    def parsed(self, payload: bytes) -> dict[str, Any]:
        try:
            given = from_json(payload)
        except ValueError as error:
            raise DecodeError(f"{self.input}: is not JSON: {error}") from error
        if not isinstance(given, dict):
            raise DecodeError(f"{self.input}: is {shown(given)}, not an object by parameter name")
        return given


class ReturnType:
    """How the result of one function is written and read. Create it where the function is defined, as `Parameters`."""

    def __init__(self, function: Callable[..., object], what: str) -> None:
        self.function = function
        self.what = f"result of {what}"
        self.namespace = local_classes(function)

    def encode(self, value: object, *, limit: int) -> bytes:
        return self.codec.copy(value, what=self.what, limit=limit)[0]

    def copy(self, value: object, *, limit: int) -> tuple[bytes, Any]:
        """The bytes, and what they read back as: what the caller gets."""
        return self.codec.copy(value, what=self.what, limit=limit)

    def decode(self, payload: bytes) -> Any:
        return self.codec.decode(payload, what=self.what)

    @cached_property
    def codec(self) -> Codec:
        hints, problems = hints_of(self.function, self.namespace)
        return Codec(hints.get("return", Any), self.namespace, problems.get("return", ""))
