"""What a replay sees of a failure was decided when it was caught."""

import json
import sys
from typing import Any

import pytest

from perdure.codec.failures import decode_failure, encode_failure, replayed_failure
from perdure.errors import DecodeError, StepFailed


class Unreachable(OSError):
    pass


class Forgetful(Exception):
    """Cannot be built from what it says it was built from."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")


class NoArguments(Exception):
    def __reduce__(self) -> Any:
        return (NoArguments, None)


class NoReduction(Exception):
    def __reduce_ex__(self, protocol: Any) -> Any:
        return (NoReduction, ([],), [1, 2])


class Endless(Exception):
    def __reduce__(self) -> Any:
        def for_ever() -> Any:
            while True:
                raise RuntimeError("no arguments today")
                yield

        return (Endless, for_ever())


class Swallowing(dict[str, Any]):
    def __bool__(self) -> bool:
        raise RuntimeError("neither")


class OddState(Exception):
    def __reduce__(self) -> Any:
        return (OddState, (), Swallowing())


def stored(error: BaseException) -> bytes:
    return encode_failure(error, message_characters=1000, traceback_characters=1000)


def unloaded(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As in a process that has not imported it yet."""
    for name in names:
        monkeypatch.delattr(sys.modules[__name__], name)


@pytest.mark.parametrize("error", [Unreachable("away"), ExceptionGroup("two", [Unreachable("away"), ValueError("no")])])
def test_an_exception_that_was_rebuilt_and_cannot_be_now_is_no_other_exception(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = stored(error)
    assert type(replayed_failure(payload)) is type(error)

    unloaded(monkeypatch, "Unreachable")

    with pytest.raises(DecodeError, match=r"Unreachable cannot be built here.*import its module"):
        replayed_failure(payload)


def test_whoever_only_wants_to_tell_of_it_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = stored(Unreachable("away"))
    unloaded(monkeypatch, "Unreachable")
    assert isinstance(decode_failure(payload), StepFailed)


@pytest.mark.parametrize("where", [Forgetful, type("Unfound", (Exception,), {"__init__": Exception.__init__})])
def test_an_exception_that_could_not_be_rebuilt_when_it_was_caught_never_is(
    where: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = stored(where("store", "away") if where is Forgetful else where("away"))
    assert isinstance(replayed_failure(payload), StepFailed)

    monkeypatch.setattr(Forgetful, "__init__", Exception.__init__)
    monkeypatch.setitem(vars(sys.modules[__name__]), "Unfound", where)

    assert isinstance(replayed_failure(payload), StepFailed)


def test_a_failure_from_before_it_was_decided_is_read_as_it_was_then(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = json.dumps({"type": f"{__name__}.Unreachable", "message": "away", "args": ["away"], "traceback": ""}).encode()
    assert isinstance(replayed_failure(payload), Unreachable)
    unloaded(monkeypatch, "Unreachable")
    assert isinstance(replayed_failure(payload), StepFailed)


@pytest.mark.parametrize("error", [NoArguments("x"), NoReduction("x"), Endless("x"), OddState("x")])
def test_an_exception_that_says_nonsense_of_itself_is_told_by_its_text(error: Exception) -> None:
    back = replayed_failure(stored(error))
    assert isinstance(back, StepFailed)
    assert back.message == str(error)
