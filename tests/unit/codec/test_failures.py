"""Exceptions come back as their original class where that is loaded and built from plain data, else as text; storing one never fails."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import BaseModel

from perdure.codec.failures import decode_failure, encode_failure
from perdure.codec.plain import describe_failure
from perdure.errors import EncodeError, RetryAfter, StepFailed, StepOutcomeUnknown
from tests.unit.codec.samples import json_values, text

attribute_names = text.filter(lambda name: not name.startswith("__") and not hasattr(Exception, name))


class OutOfStock(Exception):
    """Built from what it was given."""


class HttpError(Exception):
    def __init__(self, status: int, body: str) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


class WithText(Exception):
    def __init__(self, product: str, count: int) -> None:
        super().__init__(f"{count} of {product} are missing")


class Prefixed(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(f"payment: {message}")


class Tagged(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.created = [object()]


class Counting(Exception):
    count = 0

    def __init__(self) -> None:
        Counting.count += 1
        self.number = Counting.count


class Unshowable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unreducible(Exception):
    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("no")


class Impostor(Exception):
    def __reduce__(self) -> Any:
        return print, ("planted",)


class Code(IntEnum):
    GONE = 410


class Outer:
    class Inner(ValueError):
        pass


def stored(error: BaseException, message_characters: int = 1000, traceback_characters: int = 2000) -> bytes:
    return encode_failure(error, message_characters=message_characters, traceback_characters=traceback_characters)


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def with_attributes(error: Exception, **attributes: object) -> Exception:
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def noted(error: Exception, *notes: str) -> Exception:
    for note in notes:
        error.add_note(note)
    return error


def ring() -> Exception:
    error = ValueError("ring")
    error.args = ([error.args],)
    error.args[0].append(error.args[0])
    error.__cause__ = error
    return error


REBUILT: list[Callable[[], Exception]] = [
    lambda: ValueError("too small"),
    lambda: KeyError("order"),
    lambda: OutOfStock("pen", 3, {"warehouse": ["a", None, 1.5, True]}),
    lambda: Outer.Inner("nested"),
    lambda: HttpError(503, "try later"),
    lambda: FileNotFoundError(2, "No such file", "orders.csv"),
    lambda: ImportError("no module", name="a"),
    lambda: StopIteration(5),
    TimeoutError,
    lambda: StepFailed("shop.Bug", "it broke", "Traceback …"),
    lambda: StepOutcomeUnknown("step charge may or may not have run"),
    lambda: EncodeError("result of step charge: …"),
    Counting,
    lambda: with_attributes(OutOfStock("pen"), left=0, shelves=["a"]),
    lambda: noted(OutOfStock("pen"), "first note", "second note"),
    lambda: json.JSONDecodeError("bad", "{", 1),
]


@pytest.mark.parametrize("create", REBUILT)
def test_an_exception_built_from_plain_data_comes_back_as_itself(create: Callable[[], Exception]) -> None:
    original = raised(create())
    back = decode_failure(stored(original))
    assert type(back) is type(original)
    assert (back.args, str(back), vars(back)) == (original.args, str(original), vars(original))


AS_TEXT: list[Callable[[], BaseException]] = [
    lambda: WithText("pen", 3),
    lambda: Prefixed("declined"),
    lambda: Tagged("odd"),
    lambda: RetryAfter(5),
    lambda: OutOfStock(object()),
    lambda: OutOfStock((1, 2)),
    lambda: OutOfStock(b"\xff"),
    lambda: OutOfStock({1: 2}),
    lambda: OutOfStock(float("nan")),
    lambda: OutOfStock("\ud800"),
    lambda: OutOfStock(Code.GONE),
    lambda: OutOfStock(10**5000),
    lambda: OutOfStock("x" * 100_000),
    lambda: with_attributes(OutOfStock("pen"), handle=object()),
    lambda: RetryAfter(timedelta(seconds=5)),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    lambda: Unshowable("x"),
    lambda: Unreducible("x"),
    lambda: Impostor("planted"),
    ring,
    lambda: SystemExit(3),
    KeyboardInterrupt,
    lambda: asyncio.CancelledError("x"),
    lambda: BaseExceptionGroup("both", [SystemExit()]),
]


@pytest.mark.parametrize("create", AS_TEXT)
def test_any_other_exception_comes_back_as_text(create: Callable[[], BaseException]) -> None:
    original = raised(create())
    back = decode_failure(stored(original))
    assert type(back) is StepFailed
    assert back.type == f"{type(original).__module__}.{type(original).__qualname__}"
    assert back.type.rpartition(".")[2] in back.traceback or len(back.traceback) >= 1900
    assert describe_failure(stored(original)) == {"type": back.type, "message": back.message, "traceback": back.traceback}


@given(some.lists(json_values, max_size=3), some.dictionaries(attribute_names, json_values, max_size=3))
def test_every_exception_of_plain_data_comes_back(args: list[object], attributes: dict[str, object]) -> None:
    original = OutOfStock(*args)
    vars(original).update(attributes)
    payload = encode_failure(original, message_characters=10**6, traceback_characters=10**6)
    back = decode_failure(payload)
    assert (type(back), back.args, vars(back)) == (OutOfStock, original.args, vars(original))


@given(some.text(max_size=50), some.integers(0, 60), some.integers(0, 60))
def test_storing_never_fails_and_keeps_the_limits(message: str, message_characters: int, traceback_characters: int) -> None:
    payload = stored(raised(OutOfStock(message)), message_characters, traceback_characters)
    described = describe_failure(payload)
    assert len(described["message"]) <= message_characters
    assert len(described["traceback"]) <= traceback_characters
    assert isinstance(decode_failure(payload), OutOfStock | StepFailed)


def test_a_message_of_ten_megabytes_is_shortened_and_keeps_both_ends() -> None:
    payload = stored(raised(ValueError("begin " + "x" * 10_000_000 + " end")))
    assert len(payload) < 10_000
    described = describe_failure(payload)
    assert described["message"].startswith("begin x")
    assert described["message"].endswith("x end")
    assert "10,000,010 characters" in described["message"]
    assert described["traceback"].startswith("Traceback (most recent call last):")


def test_many_arguments_are_not_kept_beyond_the_limits() -> None:
    assert len(stored(OutOfStock(*range(100_000)))) < 20_000
    assert len(stored(with_attributes(OutOfStock("x"), rows=["row"] * 100_000))) < 20_000


def test_a_text_that_cannot_be_made_says_why() -> None:
    assert describe_failure(stored(Unshowable("x")))["message"] == "<no message: its __str__ raised RuntimeError>"


def test_the_traceback_tells_the_cause() -> None:
    traceback = describe_failure(stored(raised(OutOfStock("pen"), raised(KeyError("warehouse")))))["traceback"]
    assert "KeyError: 'warehouse'" in traceback
    assert "direct cause" in traceback
    assert traceback.rstrip().endswith("OutOfStock: pen")


def test_a_chain_of_causes_without_end_is_stored() -> None:
    deepest: BaseException = ValueError("first")
    for number in range(2000):
        deepest = raised(ValueError(number), deepest)
    assert len(stored(deepest)) < 5000


def test_a_group_comes_back_with_its_exceptions() -> None:
    original = raised(ExceptionGroup("both", [OutOfStock("pen"), WithText("ink", 2), ExceptionGroup("inner", [KeyError("x")])]))
    back = decode_failure(stored(original))
    assert isinstance(back, ExceptionGroup)
    assert back.message == "both"
    assert [type(part) for part in back.exceptions] == [OutOfStock, StepFailed, ExceptionGroup]
    assert str(back.exceptions[1]) == f"{__name__}.WithText: 2 of ink are missing"
    assert repr(back.exceptions[2]) == repr(original.exceptions[2])


def test_a_group_of_very_many_is_told_as_text() -> None:
    back = decode_failure(stored(ExceptionGroup("many", [ValueError(number) for number in range(10_000)])))
    assert isinstance(back, StepFailed)
    assert back.message == "many (10000 sub-exceptions)"


def test_what_is_stored_reads_the_same_every_time() -> None:
    payload = stored(raised(Tagged("odd")))
    assert describe_failure(payload) == describe_failure(payload)
    assert str(decode_failure(payload)) == str(decode_failure(payload))


# ── what is stored is data, never code ───────────────────────────────────────────────────────────────────────────────


def payload_of(type: str, args: object = (), **more: object) -> bytes:
    return json.dumps({"type": type, "message": "planted", "args": args, "traceback": "", **more}).encode()


@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.eval", "builtins.SystemExit", "subprocess.Popen", "builtins", "", ".", "a.b.c", "builtins.ValueError.mro"],
)
def test_only_a_loaded_exception_class_is_ever_called(name: str) -> None:
    back = decode_failure(payload_of(name, ["exit 3"]))
    assert isinstance(back, StepFailed)
    assert (back.type, back.message) == (name, "planted")


def test_nothing_is_imported() -> None:
    code = (
        "import sys; from perdure.codec.failures import decode_failure\n"
        'payload = b\'{"type":"xmlrpc.client.Fault","message":"m","args":[1,"m"],"traceback":""}\'\n'
        "print(type(decode_failure(payload)).__name__, 'xmlrpc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout.split() == ["StepFailed", "False"]


def test_a_module_that_imports_on_attribute_access_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    lazy = type(sys)("lazy_module")
    lazy.__getattr__ = asked.append
    monkeypatch.setitem(sys.modules, "lazy_module", lazy)
    assert isinstance(decode_failure(payload_of("lazy_module.Error")), StepFailed)
    assert asked == []


@pytest.mark.parametrize("state", [{"__class__": "x"}, {"__dict__": {"a": 1}}, {"__doc__": "x"}, {"__traceback__": None, "a": 1}])
def test_attributes_that_python_gives_meaning_to_are_not_set(state: dict[str, object]) -> None:
    assert isinstance(decode_failure(payload_of(f"{__name__}.OutOfStock", ["planted"], state=state)), StepFailed)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"type":1,"args":{}}',
        b'{"type":null,"message":null,"args":null,"traceback":null}',
        b'{"type":"builtins.ValueError","args":[1],"state":[1]}',
        b'{"type":"builtins.ExceptionGroup","message":"","args":["x"],"group":[1]}',
    ],
)
def test_a_damaged_failure_is_still_a_failure(payload: bytes) -> None:
    assert isinstance(decode_failure(payload), StepFailed)
    assert set(describe_failure(payload)) == {"type", "message", "traceback"}


@dataclass
class Details:
    code: int


class Model(BaseModel):
    code: int


@pytest.mark.parametrize("argument", [Details(1), Model(code=1), {1, 2}, timedelta(1)])
def test_an_argument_that_is_more_than_json_is_told_as_text_rather_than_changed(argument: object) -> None:
    assert isinstance(decode_failure(stored(OutOfStock(argument))), StepFailed)
