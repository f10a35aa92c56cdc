"""What cannot be stored, or would come back as something else, is refused with its place, before anything has happened."""

import asyncio
import itertools
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import BaseModel, Field, SecretStr

from perdure.codec.values import canonical, decode, encode
from perdure.errors import DecodeError, EncodeError, PayloadTooLarge
from tests.unit.codec.samples import LIMIT, SIMPLE, Box, Colour, Customer, Line, Point, typed_values


def refusal(value: object, hint: Any) -> str:
    with pytest.raises(EncodeError) as caught:
        encode(value, hint, what="result of step charge", limit=LIMIT)
    assert str(caught.value).startswith("result of step charge: ")
    return str(caught.value)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def endless() -> Iterator[int]:
    return itertools.count()


async def coroutine_function() -> None: ...


async def asynchronous() -> Any:
    yield 1


class Anything:
    pass


@dataclass
class Base:
    name: str


@dataclass
class Derived(Base):
    more: int = 0


class BaseOfModel(BaseModel):
    name: str


class DerivedModel(BaseOfModel):
    more: int = 0


@dataclass
class Euro:
    amount: int


@dataclass
class Dollar:
    amount: int


class Hidden(BaseModel):
    shown: int
    hidden: int = Field(default=0, exclude=True)


@dataclass
class Counted:
    number: int
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        self.twice = 2 * self.number


UNSTORABLE: list[tuple[Callable[[], object], str]] = [
    (lambda: open("/dev/null"), "open file"),  # noqa: SIM115 - left open on purpose
    (threading.Lock, "_thread.lock"),
    (asyncio.Lock, "asyncio.locks.Lock"),
    (endless, "generator or iterator"),
    (lambda: (number for number in [1]), "generator or iterator"),
    (asynchronous, "asynchronous generator"),
    (lambda: coroutine_function, "is a function"),
    (lambda: Anything, "is a class"),
    (Anything, "Anything"),
    (lambda: ValueError("x"), "exception"),
    (lambda: SecretStr("x"), "secret"),
    (lambda: math.inf, "with the type hint float"),
    (lambda: math.nan, "with the type hint float"),
    (lambda: "\ud800", "lone surrogate"),
    (lambda: {"\ud800": 1}, "lone surrogate"),
    (lambda: {(1, 2): 1}, "list of pairs"),
    (lambda: {1: "a", "1": "b"}, "two keys"),
    (lambda: 10**5000, "4,300 digits"),
    (lambda: nested(100_000), "nested deeper"),
]


@pytest.mark.parametrize(("create", "reason"), UNSTORABLE)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_json_cannot_say_is_refused_with_its_place(create: Callable[[], object], reason: str) -> None:
    assert reason in refusal(create(), Any)
    assert "lines[2]" in (message := refusal({"lines": [1, 2, create()]}, Any))
    assert reason in message
    assert "content" in (message := refusal(Box(create()), Box[Any]))
    assert reason in message


def test_a_coroutine_is_refused_and_the_message_says_to_await_it() -> None:
    forgotten = coroutine_function()
    assert "await it" in refusal([forgotten], list)
    forgotten.close()


@pytest.mark.parametrize("hint", [Any, list, list[int], dict[str, int], set[int], tuple[int, ...]])
def test_an_endless_generator_is_refused_without_being_read(hint: Any) -> None:
    numbers = endless()
    refusal(numbers, hint)
    assert next(numbers) == 0


def test_an_open_file_is_refused_without_being_read(tmp_path: Any) -> None:
    (tmp_path / "lines").write_text("one\ntwo\n")
    with open(tmp_path / "lines") as file:
        refusal({"file": file}, Any)
        assert file.read() == "one\ntwo\n"


def test_a_cycle_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert "contains itself" in refusal(ring, list)
    assert "contains itself" in refusal(ring, list[Any])
    box = Box[Any](None)
    box.content = box
    refusal(box, Box[Any])


@pytest.mark.parametrize("levels", [150, 200, 201, 220, 260, 1000])
def test_a_deep_value_comes_back_or_is_refused(levels: int) -> None:
    value = nested(levels)
    try:
        payload = encode(value, list[Any], what="value", limit=LIMIT)
    except EncodeError:
        assert levels > 170
    else:
        assert decode(payload, list[Any], what="value") == value


@pytest.mark.parametrize(
    ("value", "hint", "place"),
    [
        ("3", int, "the value"),
        ("abc", int, "the value"),
        (3.5, int, "the value"),
        (3, str, "the value"),
        (None, str, "the value"),
        ([1, "x"], list[int], "[1]"),
        ([1], tuple[int, ...], "the value"),
        ((1,), list[int], "the value"),
        ({"a": {"b": "x"}}, dict[str, dict[str, int]], "a.b"),
        ("red", Colour, "the value"),
        (Line("a", "3", Decimal(1)), Line, "quantity"),
        (Box(Line("a", 3, 1.1)), Box[Line], "content.price"),
        (Customer.model_construct(name=7), Customer, "name"),
        (datetime(2026, 1, 1), date, "the value"),
        (-1, Annotated[int, Field(gt=0)], "the value"),
        ({"x": 1.0, "y": 2.0}, Point, "the value"),
    ],
)
def test_a_value_that_is_not_what_its_hint_says_is_refused(value: object, hint: Any, place: str) -> None:
    assert refusal(value, hint).startswith(f"result of step charge: {place} ")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (b"a", str | bytes),
        ("YQ==", bytes | str),
        ("2026-01-01T00:00:00Z", datetime | str),
        ({1, 2}, list[int] | set[int]),
        (math.inf, float | str | None),
        (Dollar(5), Euro | Dollar),
        (Derived("a", 5), Base),
        (DerivedModel(name="a", more=5), BaseOfModel),
        (SecretStr("secret"), SecretStr),
        (Hidden(shown=1, hidden=2), Hidden),
        ({"\ud800": 1}, dict[str, int]),
        ({1: 1, "1": 2}, dict[int | str, int]),
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=3601))), datetime),
    ],
)
def test_what_would_silently_come_back_as_something_else_is_refused(value: object, hint: Any) -> None:
    message = refusal(value, hint)
    assert "would" in message or "does not fit" in message


def test_a_whole_number_too_long_for_any_json_parser_is_refused() -> None:
    assert "4,300 digits" in refusal(10**5000, int)
    assert "lines[1]" in refusal({"lines": [1, 10**5000]}, dict[str, list[int]])


def test_a_secret_never_stands_in_the_message_nor_in_the_bytes() -> None:
    assert "hunter2" not in refusal(SecretStr("hunter2"), SecretStr)
    assert "hunter2" not in refusal({"a": SecretStr("hunter2")}, Any)


def test_a_field_that_is_computed_is_not_a_difference() -> None:
    assert decode(encode(Counted(2), Counted, what="value", limit=LIMIT), Counted, what="value") == Counted(2)


@settings(max_examples=300)
@given(typed_values, some.sampled_from([hint for hint, _ in SIMPLE]))
def test_a_value_under_another_hint_comes_back_equal_or_is_refused(typed: tuple[Any, Any], other: Any) -> None:
    _, value = typed
    try:
        payload = encode(value, other, what="value", limit=LIMIT)
    except EncodeError:
        return
    back = decode(payload, other, what="value")
    assert back == value or other in (Any, dict, dict[str, Any])


def test_above_the_limit_a_value_is_refused_and_at_the_limit_it_is_not() -> None:
    assert len(encode("x" * 98, str, what="value", limit=100)) == 100
    with pytest.raises(PayloadTooLarge, match=r"^result of step charge: 101 bytes are above the limit of 100"):
        encode("x" * 99, str, what="result of step charge", limit=100)
    with pytest.raises(PayloadTooLarge):
        encode(["x" * 98], Any, what="value", limit=100)


class Hostile:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparing")

    def __repr__(self) -> str:
        raise RuntimeError("no showing")

    __hash__ = None


def test_objects_whose_methods_raise_are_refused_like_any_other() -> None:
    assert "Hostile" in refusal(Hostile(), Any)
    assert "Hostile" in refusal(Hostile(), int)
    assert "a" in refusal({"a": [Hostile()]}, dict[str, list[int]])


def test_a_hint_that_pydantic_does_not_know_refuses_all_but_plain_json() -> None:
    assert decode(encode({"a": [1]}, Anything, what="value", limit=LIMIT), Anything, what="value") == {"a": [1]}
    assert "Anything cannot be used" in refusal(Point(1, 2), Anything)
    assert "is of the type" in refusal(Anything(), Anything)


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"nonsense", b"[" * 100_000, b'"\\ud800"'])
def test_bytes_that_are_no_json_are_a_decode_error(payload: bytes) -> None:
    for hint in (Any, int, Line, list[int]):
        with pytest.raises(DecodeError, match=r"^result of step charge: "):
            decode(payload, hint, what="result of step charge")


def test_json_that_does_not_fit_is_a_decode_error_with_its_place() -> None:
    with pytest.raises(DecodeError, match=r"^signal paid: lines\[0\].quantity does not fit"):
        decode(b'{"lines":[{"product":"a","quantity":"many","price":"1"}]}', Box_of_lines, what="signal paid")


@dataclass
class Box_of_lines:  # noqa: N801 - reads as one in the message
    lines: list[Line]


@pytest.mark.parametrize("payload", [b"", b"{", b"[" * 100_000])
def test_what_cannot_be_brought_into_order_is_a_decode_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        canonical(payload)
