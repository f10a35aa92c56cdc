"""What is stored by a type hint comes back equal, of the same type."""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NotRequired, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import BaseModel, Field, Json, WrapValidator, computed_field

from perdure.codec.values import Codec, canonical, decode, encode
from perdure.errors import EncodeError
from tests.unit.codec.samples import LIMIT, Aliased, Box, Colour, Customer, Incomparable, Options, Order, Point, typed_values


def through_the_store(value: object, hint: Any) -> Any:
    return decode(encode(value, hint, what="value", limit=LIMIT), hint, what="value")


@settings(max_examples=400)
@given(typed_values)
def test_every_well_typed_value_comes_back_equal(typed: tuple[Any, Any]) -> None:
    hint, value = typed
    back = through_the_store(value, hint)
    assert back == value
    assert type(back) is type(value)


@settings(max_examples=200)
@given(typed_values)
def test_the_copy_for_the_receiver_is_what_a_replay_reads(typed: tuple[Any, Any]) -> None:
    hint, value = typed
    payload, copy = Codec(hint).copy(value, what="value", limit=LIMIT)
    assert copy == decode(payload, hint, what="value") == value
    assert copy is not value or not isinstance(value, list | dict | set | Order)


@settings(max_examples=200)
@given(typed_values)
def test_writing_what_came_back_gives_the_same_json(typed: tuple[Any, Any]) -> None:
    hint, value = typed
    payload = encode(value, hint, what="value", limit=LIMIT)
    again = encode(decode(payload, hint, what="value"), hint, what="value", limit=LIMIT)
    assert canonical(again) == canonical(payload)


@settings(max_examples=300)
@given(typed_values)
def test_a_value_sent_without_a_hint_is_read_by_the_receivers_hint(typed: tuple[Any, Any]) -> None:
    hint, value = typed
    with suppress(EncodeError):  # infinite floats have no JSON without a hint; test_values_refused lists what is refused
        payload = encode(value, Any, what="signal paid", limit=LIMIT)
        assert decode(payload, hint, what="signal paid") == value


@given(some.floats())
def test_a_float_comes_back_whatever_it_is(number: float) -> None:
    back = through_the_store([number], list[float])[0]
    assert back == number or (math.isnan(back) and math.isnan(number))


def test_nan_comes_back_from_the_depth_of_a_dataclass() -> None:
    back = through_the_store(Box(Point(math.nan, math.inf)), Box[Point])
    assert math.isnan(back.content.x)
    assert back.content.y == math.inf


def test_an_infinite_score_of_a_model_does_not_become_none() -> None:
    assert through_the_store(Customer(name="a", score=math.inf), Customer).score == math.inf


@given(some.timedeltas())
def test_a_duration_is_exact_to_the_microsecond(duration: timedelta) -> None:
    assert through_the_store(duration, timedelta) == duration


def test_bytes_that_are_not_text_come_back_from_a_model_of_the_user() -> None:
    assert through_the_store(Customer(name="a", key=bytes(range(256))), Customer).key == bytes(range(256))


def test_a_nul_character_comes_back() -> None:
    assert through_the_store({"a\0b": "\0"}, dict[str, str]) == {"a\0b": "\0"}


class Strict(BaseModel, extra="forbid"):
    side: int
    parsed: Json[list[int]] = []

    @computed_field
    @property
    def area(self) -> int:
        return self.side**2


def test_computed_fields_are_not_stored_and_parsed_ones_are_stored_as_text() -> None:
    strict = Strict(side=2, parsed="[1]")
    assert strict.parsed == [1]
    assert encode(strict, Strict, what="value", limit=LIMIT) == b'{"side":2,"parsed":"[1]"}'
    assert through_the_store(strict, Strict) == strict


def kept(value: Any, read: Any) -> Any:
    return read(value)


def test_a_model_with_aliases_comes_back_through_a_validator_around_it() -> None:
    person = Aliased(firstName="Ann", nett=Decimal("1.5"))
    assert through_the_store([person], list[Annotated[Aliased, WrapValidator(kept)]]) == [person]


class WrittenByAlias(BaseModel, serialize_by_alias=True):
    first_name: str = Field(alias="firstName")


def test_a_model_that_writes_aliases_is_stored_by_field_name_all_the_same() -> None:
    person = WrittenByAlias(firstName="Ann")
    assert encode(person, WrittenByAlias, what="value", limit=LIMIT) == b'{"first_name":"Ann"}'
    assert through_the_store(Box(person), Box[WrittenByAlias]) == Box(person)


def test_the_repeated_hour_of_a_clock_change_stays_the_same_moment() -> None:
    second_half_past_two = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    back = through_the_store(second_half_past_two, datetime)
    assert back.astimezone(UTC) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_an_object_without_equality_comes_back_with_its_fields() -> None:
    back = through_the_store([Incomparable(1, "a")], list[Incomparable])[0]
    assert (type(back), back.number, back.text) == (Incomparable, 1, "a")


def test_typing_typeddict_works_on_every_python() -> None:
    class Parcel(TypedDict):
        options: list[Options]
        weight: NotRequired[int]

    parcel = {"options": [{"labels": {"a", "b"}}]}
    assert through_the_store(parcel, Parcel) == parcel
    assert through_the_store({"x": [parcel]}, dict[str, list[Parcel] | None]) == {"x": [parcel]}


def test_the_order_of_a_union_is_kept_although_its_hints_are_equal() -> None:
    @dataclass
    class First:
        number: int

    @dataclass
    class Second:
        number: int

    first_wins, second_wins = list[First | Second], list[Second | First]
    assert through_the_store([First(1)], first_wins) == [First(1)]
    assert through_the_store([Second(1)], second_wins) == [Second(1)]


class Unhashable:
    __hash__ = None


def test_a_hint_that_cannot_be_hashed_works() -> None:
    assert through_the_store(3, Annotated[int, Unhashable()]) == 3


@pytest.mark.parametrize(
    ("value", "comes_back_as"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        ({"b", "a", "c"}, ["a", "b", "c"]),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        (Point(1.0, 2.0), {"x": 1.0, "y": 2.0}),
        (Customer(name="a", groups=frozenset({"y", "x"})), {"name": "a", "born": None, "key": "", "score": None, "groups": ["x", "y"]}),
        (Colour.BLUE, 2),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02T03:04:05.000006Z"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (b"\xff\x00", "_wA="),
    ],
)
def test_a_value_without_a_hint_comes_back_as_the_json_it_became(value: object, comes_back_as: object) -> None:
    assert through_the_store(value, Any) == comes_back_as
    assert through_the_store({"deep": [value]}, dict[str, Any]) == {"deep": [comes_back_as]}
    assert through_the_store(Box(value), Box[Any]) == Box(comes_back_as)


def test_what_is_hinted_as_sequence_or_iterable_comes_back_as_a_list() -> None:
    assert through_the_store((1, 2), Sequence[int]) == [1, 2]
    assert through_the_store([1, 2], Iterable[int]) == [1, 2]
    assert through_the_store((Point(1, 2),), Sequence[Point]) == [Point(1, 2)]


def test_an_old_payload_is_read_by_a_type_that_gained_a_default() -> None:
    assert decode(b'{"name":"a","gone":1}', Customer, what="value") == Customer(name="a")


def test_a_value_changed_after_it_was_written_does_not_change_the_copy() -> None:
    order = Box([1])
    _, copy = Codec(Box[list[int]]).copy(order, what="value", limit=LIMIT)
    order.content.append(2)
    assert copy == replace(order, content=[1])
