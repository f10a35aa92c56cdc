"""Values to JSON and back by type hint, so that what is stored is known to read back as what was given.

`encode` reads back what it wrote and compares before anyone relies on it: a value that would return as something else (bytes where
the hint says `str | bytes`, a subclass with more fields than its hint, a secret that is written masked) is refused like one that has no
JSON form at all. Equality decides, so an `int` may stand where the hint says `float`, and a moment comes back with its UTC offset
instead of its time zone's name. Parts hinted `Any`, and `Sequence` and `Iterable`, come back as plain JSON (`perdure.codec.natural`).

A pydantic model is stored by field name, not by alias, without its computed fields and private attributes.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic_core import ValidationError, from_json, to_json

from perdure.codec.comparison import check_same
from perdure.codec.natural import is_plain, natural
from perdure.codec.refusal import Cause, Refusal, check_size, path_of, shown, shown_error
from perdure.errors import DecodeError, PerdureError

if TYPE_CHECKING:
    from perdure.codec.schemas import Schema

CACHED_HINTS_MOST = 2000
DIGEST_BYTES = 12
PLAIN_HINTS = (Any, object, dict, list, dict[str, Any], list[Any])  # whatever is read for these is already right


def encode(value: object, hint: object, *, what: str, limit: int) -> bytes:
    """The value as JSON by its hint. `what` begins every message: "result of step charge".

    Raises EncodeError for what cannot be stored or would come back as something else, PayloadTooLarge above `limit` bytes.
    """
    return codec_of(hint).copy(value, what=what, limit=limit)[0]


def decode(payload: bytes, hint: Any, *, what: str) -> Any:
    """The value that `encode` was given; DecodeError if the bytes do not fit the hint (any more)."""
    return codec_of(hint).decode(payload, what=what)


def digest(payload: bytes) -> bytes:
    """12 bytes that tell payloads apart."""
    return blake2b(payload, digest_size=DIGEST_BYTES).digest()


_in_order = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def canonical(payload: bytes) -> bytes:
    """The same JSON with sorted keys and no spaces, so that equal objects are equal bytes."""
    try:
        return _in_order(from_json(payload)).encode()
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"the payload is not JSON that can be brought into order: {error}") from error


class Codec:
    """How values of one hint become bytes; built when first used, for that takes milliseconds."""

    def __init__(self, hint: object, namespace: Mapping[str, Any] | None = None, problem: str = "", *, is_closed: bool = False) -> None:
        self.hint = hint
        self.is_closed = is_closed
        self.namespace = namespace or {}
        self.problem = problem  # why the hint cannot be used; then only values that are plain JSON are stored

    @cached_property
    def schema(self) -> "Schema | None":
        """None where any JSON is right: there is no hint, or it cannot be used."""
        if self.problem or needs_no_schema(self.hint):
            return None
        from perdure.codec.schemas import Schema  # with it comes all of pydantic, which commands on plain JSON need not wait for

        try:
            return Schema(self.hint, self.namespace, is_closed=self.is_closed)
        except Exception as error:  # recorded: it is told to whoever needs more than plain JSON
            self.problem = f"the type hint {hint_shown(self.hint)} cannot be used: {str(error).splitlines()[0] if str(error) else error!r}"
            return None

    def encode(self, value: object, *, what: str, limit: int) -> bytes:
        return self.copy(value, what=what, limit=limit)[0]

    def copy(self, value: object, *, what: str, limit: int) -> tuple[bytes, Any]:
        """The bytes, and what they read back as: what the receiver gets, on the first run as on every replay."""
        try:
            return self.write(value, what, limit)
        except Refusal as refusal:
            raise refusal.as_encode_error(what) from refusal.__cause__

    def decode(self, payload: bytes, *, what: str) -> Any:
        try:
            return self.read(payload)
        except Refusal as refusal:
            raise DecodeError(refusal.told(what)) from refusal.__cause__

    def write(self, value: object, what: str, limit: int) -> tuple[bytes, Any]:
        """Raises Refusal or PayloadTooLarge, whatever the classes of the user do when they are looked at."""
        try:
            return self.written(value, what, limit)
        except (Refusal, PerdureError):
            raise
        except Exception as error:
            raise Refusal(f"is {shown(value)}, which cannot be stored: {shown_error(error)}") from error

    def written(self, value: object, what: str, limit: int) -> tuple[bytes, Any]:
        schema = self.schema
        if schema is None:
            return self.write_plain(value, what, limit)
        if getattr(type(value), "__next__", None) is not None:  # pydantic would read it to its end
            natural(value)
        try:
            payload = schema.serializer.to_json(value, round_trip=True, warnings=False)
        except Exception as error:  # serializers of the user's classes may raise anything
            raise refusal_of_write(value, error) from error
        check_size(payload, what, limit)
        back = self.read(payload, written_from=value)
        check_same(value, back, naturally=schema.is_natural)
        return payload, back

    def write_plain(self, value: object, what: str, limit: int) -> tuple[bytes, Any]:
        plain = value if is_plain(value) else natural(value)
        if self.problem:
            self.check_unchanged(value, plain)
        try:
            payload = to_json(plain, inf_nan_mode="strings")
            check_size(payload, what, limit)
            back = from_json(payload)
        except ValueError as error:  # text that is none, or a number that is too long
            raise refusal_of_write(value, error) from error
        if back != plain:
            natural(plain)
            check_same(plain, back, naturally=False)
        return payload, back

    def check_unchanged(self, value: object, plain: object) -> None:
        """Without its hint a value of another type would silently come back as JSON."""
        try:
            check_same(value, plain, naturally=False)
        except Refusal as refusal:
            raise Refusal(f"is {shown(value)}, but {self.problem}") from refusal

    def read(self, payload: bytes, *, written_from: object = None, by_alias: bool = False) -> Any:
        schema = self.schema
        try:
            if schema is None:
                return from_json(payload)
            return schema.validator.validate_json(payload, by_name=True, by_alias=by_alias)
        except ValidationError as error:
            raise refusal_of_read(error, written_from) from error
        except Exception as error:  # validators of the user's classes may raise anything
            raise Refusal(f"cannot be read: {shown_error(error)}", cause=Cause.UNFIT) from error


def refusal_of_write(value: object, error: Exception) -> Refusal:
    """The place in the value that has no JSON form; if every place has one, what pydantic says."""
    try:
        natural(value)
    except Refusal as refusal:
        return refusal
    return Refusal(f"is {shown(value)}, which cannot be written: {error}", cause=Cause.UNFIT)


def refusal_of_read(error: ValidationError, written_from: object) -> Refusal:
    first = next(iter(error.errors(include_url=False, include_input=False)))
    if first["type"] == "json_invalid" and written_from is not None:
        return refusal_of_write(written_from, error)  # too deep, or a number too long
    return Refusal(f"does not fit: {first['msg']}", path_of(*first["loc"]), Cause.UNFIT)


def needs_no_schema(hint: object) -> bool:
    try:
        return hint in PLAIN_HINTS
    except TypeError:
        return False


def hint_shown(hint: object) -> str:
    return hint.__qualname__ if isinstance(hint, type) else str(hint)


codecs: dict[object, Codec] = {}


def codec_of(hint: object) -> Codec:
    """The codec of a hint, built once for each."""
    key = hint if isinstance(hint, type) else (Ordered, *ordered(hint))
    try:
        codec = codecs.get(key)
    except TypeError:  # Annotated with something unhashable
        return Codec(hint)
    if codec is None:
        if len(codecs) >= CACHED_HINTS_MOST:
            codecs.pop(next(iter(codecs)))
        codec = codecs[key] = Codec(hint)
    return codec


class Ordered:
    """Marks keys in which the order of a union counts: `int | str` equals `str | int`, but they do not read the same text alike."""


def ordered(hint: object) -> Iterator[object]:
    arguments = get_args(hint)
    yield hint
    yield get_origin(hint)
    for argument in arguments:
        if get_args(argument):
            yield from ordered(argument)
        else:
            yield argument
