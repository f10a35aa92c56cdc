"""Arguments become a JSON object by parameter name and come back ready to call; what does not fit is refused by name."""

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from perdure.codec.parameters import Parameters, ReturnType, encode_unbound
from perdure.errors import BadInput, DecodeError, EncodeError, PayloadTooLarge
from tests.unit.codec.samples import LIMIT, Aliased, Box, Line, Order, Point, json_values, lines, orders, points, text

LINE = Line("pen", 2, Decimal("1.10"))


async def fulfil(order: Order, copies: int = 1, *, note: str | None = None) -> Line: ...
async def pack(line: Line, copies: int = 1, *, note: str | None = None) -> Line: ...
def loose(first, second=None): ...
def nothing() -> None: ...
def by_position(first: int, second: set[str] = frozenset(), /, third: float = 0.5): ...
def open_ended(first: int, second: str = "", *rest: Point, flag: bool = False, **others: Line): ...


def called(function: Callable[..., object], *args: Any, **kwargs: Any) -> tuple[bytes, Any]:
    """What is stored for a call, and the arguments that the function then receives, with its defaults."""
    parameters = Parameters(function, "step sample")
    payload = parameters.encode(args, kwargs, limit=LIMIT)
    received = bound(function, *parameters.decode(payload))
    copy, copied_args, copied_kwargs = parameters.copy(args, kwargs, limit=LIMIT)
    assert (copy, bound(function, copied_args, copied_kwargs)) == (payload, received)
    return payload, received


def bound(function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> dict[str, object]:
    import inspect

    arguments = inspect.signature(function).bind(*args, **kwargs)
    arguments.apply_defaults()
    return arguments.arguments


def refusal(kind: type[Exception], function: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(kind) as caught:
        Parameters(function, "step sample").encode(args, kwargs, limit=1000)
    assert type(caught.value) is kind
    assert "step sample" in str(caught.value)
    return str(caught.value)


def test_what_the_caller_supplied_is_stored_by_name_and_defaults_are_not() -> None:
    assert called(pack, LINE)[0] == b'{"line":{"product":"pen","quantity":2,"price":"1.10"}}'
    assert called(pack, note="x", copies=3, line=LINE)[0] == (
        b'{"line":{"product":"pen","quantity":2,"price":"1.10"},"copies":3,"note":"x"}'
    )
    assert called(nothing)[0] == b"{}"
    assert called(loose, 1, [2])[0] == b'{"first":1,"second":[2]}'
    assert called(by_position, 1, {"b", "a"})[0] == b'{"first":1,"second":["a","b"]}'
    assert called(open_ended, 1, "x", Point(1, 2), z=LINE)[0] == (
        b'{"first":1,"second":"x","*":[{"x":1.0,"y":2.0}],"z":{"product":"pen","quantity":2,"price":"1.10"}}'
    )


@given(orders, some.integers(), some.none() | text)
def test_every_call_comes_back_as_it_was_made(order: Order, copies: int, note: str | None) -> None:
    assert called(fulfil, order, copies, note=note)[1] == {"order": order, "copies": copies, "note": note}


@settings(max_examples=50)
@given(some.integers(), text, some.lists(points, max_size=2), some.booleans(), some.dictionaries(some.sampled_from("xyz"), lines))
def test_open_ended_calls_come_back_as_they_were_made(first: int, second: str, rest: list[Point], flag: bool, others: Any) -> None:
    given_rest = tuple(rest)
    expected = {"first": first, "second": second, "rest": given_rest, "flag": flag, "others": others}
    assert called(open_ended, first, second, *given_rest, flag=flag, **others)[1] == expected


def test_arguments_without_a_name_come_back_without_one() -> None:
    assert called(by_position, 1)[1] == {"first": 1, "second": frozenset(), "third": 0.5}
    assert called(by_position, 1, {"a"}, third=math.inf)[1] == {"first": 1, "second": {"a"}, "third": math.inf}
    assert Parameters(by_position, "step sample").decode(b'{"first":1,"third":2}') == ((1,), {"third": 2.0})


@given(json_values, json_values)
def test_parameters_without_hints_take_any_json(first: object, second: object) -> None:
    assert called(loose, first, second)[1] == {"first": first, "second": second}


def test_sets_and_nan_come_back_from_arguments() -> None:
    def measure(values: list[float], tags: set[str]) -> None: ...

    received = called(measure, [1.0, math.inf], {"a", "b"})[1]
    assert received == {"values": [1.0, math.inf], "tags": {"a", "b"}}
    _, kwargs = Parameters(measure, "step sample").decode(b'{"values":["NaN"],"tags":[]}')
    assert math.isnan(kwargs["values"][0])


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "named"),
    [
        (pack, (), {}, "'line' is missing"),
        (pack, (), {"copies": 2}, "'line' is missing"),
        (pack, (LINE, 1), {"notes": "x"}, "no parameter 'notes'"),
        (pack, (LINE, 1, "x"), {}, "too many positional"),
        (pack, (LINE,), {"line": LINE}, "multiple values for argument 'line'"),
        (pack, (LINE, "many"), {}, "copies does not fit"),
        (pack, (LINE,), {"note": 7}, "note does not fit"),
        (pack, (Line("pen", "2", Decimal(1)),), {}, "line.quantity is '2' (str)"),
        (pack, (Line("pen", 2, 1.1),), {}, "line.price is 1.1 (float)"),
        (pack, ({"product": "pen", "quantity": 2, "price": "1"},), {}, "line is {"),
        (fulfil, (LINE,), {}, "order"),
        (nothing, (1,), {}, "too many positional"),
        (by_position, (), {"first": 1}, "'first'"),
        (by_position, ("x",), {}, "first does not fit"),
        (open_ended, (), {}, "'first'"),
        (open_ended, (1, "x", 5), {}, "*[0] does not fit"),
        (open_ended, (1,), {"z": 5}, "z does not fit"),
        (open_ended, (1,), {"*": LINE}, "'*'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(function: Any, args: Any, kwargs: Any, named: str) -> None:
    assert named in refusal(BadInput, function, *args, **kwargs)


def test_a_value_that_cannot_be_stored_is_refused_by_name() -> None:
    assert "first.handles[1] is a function" in refusal(EncodeError, loose, {"handles": [1, print]})
    assert "line.price is a function" in refusal(EncodeError, pack, Line("pen", 2, print))
    assert "second is a generator" in refusal(EncodeError, loose, 1, (x for x in [1]))


def test_arguments_above_the_limit_are_refused() -> None:
    assert "above the limit of 1,000" in refusal(PayloadTooLarge, loose, "x" * 1000)
    assert "above the limit of 1,000" in refusal(PayloadTooLarge, loose, "x" * 600, "y" * 600)
    assert "above the limit of 1,000" in refusal(PayloadTooLarge, open_ended, 1, "x" * 1000)
    assert "above the limit of 1,000" in refusal(PayloadTooLarge, open_ended, 1, "x" * 600, z=Line("y" * 600, 1, Decimal(1)))


def test_arguments_are_the_same_bytes_whichever_way_they_were_checked() -> None:
    def plain(a: int, b: list[float], c: Point): ...
    def with_others(a: int, b: list[float], c: Point, **others: Any): ...

    call = ((1,), {"c": Point(1, 2), "b": [math.inf]})
    expected = b'{"a":1,"b":["Infinity"],"c":{"x":1.0,"y":2.0}}'
    assert Parameters(plain, "x").encode(*call, limit=LIMIT) == expected
    assert Parameters(with_others, "x").encode(*call, limit=LIMIT) == expected
    assert Parameters(plain, "x").encode_json({"c": {"y": 2, "x": 1}, "b": ["Infinity"], "a": 1}, limit=LIMIT) == expected


def test_stored_arguments_that_no_longer_fit_are_refused_by_name() -> None:
    parameters = Parameters(pack, "workflow pack")
    with pytest.raises(BadInput, match=r"^workflow pack: argument 'line' is missing"):
        parameters.decode(b'{"copies":2}')
    with pytest.raises(BadInput, match=r"^workflow pack: there is no parameter 'colour'"):
        parameters.decode(b'{"line":{"product":"a","quantity":1,"price":"1"},"colour":"red"}')
    with pytest.raises(BadInput, match=r"^workflow pack: line\.quantity does not fit"):
        parameters.decode(b'{"line":{"product":"a","quantity":"x","price":"1"}}')
    with pytest.raises(DecodeError, match=r"^input of workflow pack"):
        parameters.decode(b'["a"]')
    with pytest.raises(DecodeError, match=r"^input of workflow pack"):
        parameters.decode(b"{")


def test_a_field_that_a_type_has_lost_since_is_passed_over() -> None:
    _, kwargs = Parameters(pack, "step pack").decode(b'{"line":{"product":"a","quantity":1,"price":"1","colour":"red"}}')
    assert kwargs == {"line": Line("a", 1, Decimal(1))}


# ── from the command line, from HTTP, by name ────────────────────────────────────────────────────────────────────────


@settings(max_examples=50)
@given(orders, some.integers())
def test_json_by_parameter_name_gives_the_bytes_of_the_same_call(order: Order, copies: int) -> None:
    parameters = Parameters(fulfil, "workflow fulfil")
    payload = parameters.encode((order,), {"copies": copies}, limit=LIMIT)
    assert parameters.encode_json(json.loads(payload), limit=LIMIT) == payload


def test_json_from_outside_may_leave_out_defaults_and_use_aliases() -> None:
    def greet(person: Aliased): ...

    parameters = Parameters(greet, "workflow greet")
    payload = parameters.encode_json({"person": {"firstName": "Ann", "nett": "1.5"}}, limit=LIMIT)
    assert payload == parameters.encode((Aliased(firstName="Ann", nett=Decimal("1.5")),), {}, limit=LIMIT)
    assert Parameters(pack, "x").encode_json({"line": {"product": "a", "quantity": 1, "price": 1}}, limit=LIMIT) == (
        b'{"line":{"product":"a","quantity":1,"price":"1"}}'
    )


@pytest.mark.parametrize(
    ("given_json", "named"),
    [
        ({}, "'line' is missing"),
        ({"line": {"product": "a", "quantity": "x", "price": "1"}}, "line.quantity does not fit"),
        ({"line": {"product": "a", "quantity": 1}}, "line.price does not fit: Field required"),
        ({"line": None, "copies": 1}, "line does not fit"),
        ({"lines": []}, "no parameter 'lines'"),
        ({"*": [1]}, "no parameter '*'"),
        ({"line": {"product": "\ud800", "quantity": 1, "price": 1}}, "line.product holds a lone surrogate"),
        (["a"], "object by parameter name"),
    ],
)
def test_json_from_outside_that_does_not_fit_is_refused_by_name(given_json: Any, named: str) -> None:
    with pytest.raises(BadInput) as caught:
        Parameters(pack, "workflow pack").encode_json(given_json, limit=LIMIT)
    assert str(caught.value).startswith("workflow pack: ")
    assert named in str(caught.value)


def test_json_from_outside_cannot_use_the_name_under_which_nameless_arguments_are_stored() -> None:
    def others(**given: Any): ...

    with pytest.raises(BadInput, match=r"no parameter '\*'"):
        Parameters(others, "workflow others").encode_json({"*": [1]}, limit=LIMIT)


def test_json_from_outside_has_the_same_limit() -> None:
    with pytest.raises(PayloadTooLarge):
        Parameters(loose, "workflow loose").encode_json({"first": "x" * 1000}, limit=1000)


@settings(max_examples=50)
@given(orders, some.integers(), some.none() | text)
def test_arguments_for_an_unknown_function_are_read_by_its_hints(order: Order, copies: int, note: str | None) -> None:
    with_place = Parameters(fulfil, "workflow fulfil")
    if order.where is not None and not (math.isfinite(order.where.x) and math.isfinite(order.where.y)):
        return
    payload = encode_unbound((order, copies), {"note": note}, what="workflow fulfil", limit=LIMIT)
    assert bound(fulfil, *with_place.decode(payload)) == {"order": order, "copies": copies, "note": note}


def test_arguments_for_an_unknown_function_find_their_places() -> None:
    payload = encode_unbound((1, "x", Point(1, 2)), {"flag": True, "z": LINE}, what="x", limit=LIMIT)
    expected = {"first": 1, "second": "x", "rest": (Point(1, 2),), "flag": True, "others": {"z": LINE}}
    assert bound(open_ended, *Parameters(open_ended, "x").decode(payload)) == expected
    assert Parameters(nothing, "x").decode(encode_unbound((), {}, what="x", limit=LIMIT)) == ((), {})


def test_arguments_for_an_unknown_function_that_do_not_fit_it_are_refused_by_name() -> None:
    parameters = Parameters(pack, "workflow pack")
    for args, kwargs, named in (
        ((1,), {}, "line"),
        ((LINE, 1, 2), {}, "1 more"),
        ((), {}, "'line' is missing"),
        ((LINE,), {"z": 1}, "'z'"),
    ):
        with pytest.raises(BadInput, match=f"^workflow pack: .*{named}"):
            parameters.decode(encode_unbound(args, kwargs, what="workflow pack", limit=LIMIT))
    with pytest.raises(EncodeError, match=r"^workflow pack: .*is a function"):
        encode_unbound((print,), {}, what="workflow pack", limit=LIMIT)
    with pytest.raises(BadInput):
        encode_unbound((), {"*": 1}, what="workflow pack", limit=LIMIT)
    with pytest.raises(PayloadTooLarge):
        encode_unbound(("x" * 100,), {}, what="workflow pack", limit=100)


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(lines)
def test_a_result_comes_back_by_the_return_hint(line: Line) -> None:
    returns = ReturnType(pack, "step pack")
    payload, copy = returns.copy(line, limit=LIMIT)
    assert payload == returns.encode(line, limit=LIMIT)
    assert returns.decode(payload) == copy == line


def test_a_result_that_cannot_be_stored_is_refused_by_the_name_of_its_step() -> None:
    with pytest.raises(EncodeError, match=r"^result of step pack: price is a function"):
        ReturnType(pack, "step pack").encode(Line("pen", 1, print), limit=LIMIT)
    with pytest.raises(EncodeError, match=r"^result of step pack: quantity is '1' \(str\)"):
        ReturnType(pack, "step pack").encode(Line("pen", "1", Decimal(1)), limit=LIMIT)
    with pytest.raises(EncodeError, match=r"^result of step nothing: the value does not fit"):
        ReturnType(nothing, "step nothing").encode(7, limit=LIMIT)
    with pytest.raises(PayloadTooLarge, match=r"^result of step loose"):
        ReturnType(loose, "step loose").encode("x" * 100, limit=100)
    with pytest.raises(DecodeError, match=r"^result of step pack: product does not fit: Field required"):
        ReturnType(pack, "step pack").decode(b"{}")


# ── hints ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_wrapped_function_is_known_by_what_it_wraps() -> None:
    @functools.wraps(pack)
    def wrapper(*args: Any, **kwargs: Any) -> Any: ...

    assert Parameters(wrapper, "step pack").decode(b'{"line":{"product":"a","quantity":1,"price":"1"}}') == (
        (),
        {"line": Line("a", 1, Decimal(1))},
    )


def test_a_hint_that_cannot_be_resolved_takes_plain_json_and_refuses_what_needs_it() -> None:
    def charge(order: "NotImported", amount: int) -> "NotImported": ...  # noqa: F821 - the subject of this test

    assert called(charge, {"id": 1}, 5)[1] == {"order": {"id": 1}, "amount": 5}
    message = refusal(EncodeError, charge, LINE, 5)
    assert "order is Line(" in message
    assert "name 'NotImported' is not defined" in message
    assert "amount does not fit" in refusal(BadInput, charge, None, "five")
    with pytest.raises(EncodeError, match="import it at run time"):
        ReturnType(charge, "step charge").encode(LINE, limit=LIMIT)


def test_a_hint_that_names_a_class_of_the_enclosing_function_is_resolved() -> None:
    @dataclass
    class Local:
        number: int
        below: "list[Local] | None" = None

    def charge(local: "Local") -> "Box[Local]": ...

    value = Local(1, [Local(2)])
    assert called(charge, value)[1] == {"local": value}
    returns = ReturnType(charge, "step charge")
    assert returns.decode(returns.encode(Box(value), limit=LIMIT)) == Box(value)


def test_a_typeddict_of_typing_as_a_parameter_works_on_every_python() -> None:
    class Options(TypedDict):
        labels: set[str]

    def charge(options: Options, more: list[Options]): ...

    assert called(charge, {"labels": {"a"}}, [{"labels": set()}])[1] == {"options": {"labels": {"a"}}, "more": [{"labels": set()}]}
    assert "options does not fit" in refusal(BadInput, charge, {}, []) or "options.labels" in refusal(BadInput, charge, {}, [])
    assert "colour" in refusal(BadInput, charge, {"labels": {"a"}, "colour": 1}, [])


def test_parameters_may_have_names_that_json_or_pydantic_use() -> None:
    def odd(type: str, model_config: int, _private: int, schema: str, serialization: str, default: int = 1): ...

    assert called(odd, "a", 1, 2, "b", "c")[1] == {
        "type": "a", "model_config": 1, "_private": 2, "schema": "b", "serialization": "c", "default": 1,
    }  # fmt: skip
