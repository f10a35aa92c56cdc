"""The names that users import are exactly these: a name is added when what it names works, and none is taken away."""

import inspect

import pytest

import perdure
import perdure.logging
import perdure.testing

# Extend here, and in CHANGELOG.md, when a release exports more.
PUBLIC = {
    "Client",
    "Engine",
    "Info",
    "Retry",
    "Run",
    "RunStatus",
    "Trouble",
    "continue_as_new",
    "errors",
    "info",
    "now",
    "patched",
    "random",
    "receive",
    "saga",
    "set_status",
    "sleep_until",
    "step",
    "uuid4",
    "workflow",
}

TESTING = {
    "Call",
    "CrashDifference",
    "CrashReport",
    "Ending",
    "NotEnded",
    "ReplayDifference",
    "Signal",
    "VirtualEngine",
    "crash_everywhere",
    "engine",
    "every_order",
    "replay",
}


def test_the_public_names_are_those_of_this_release() -> None:
    assert set(perdure.__all__) == PUBLIC


def test_the_public_names_of_the_test_tools_are_these() -> None:
    assert list(perdure.testing.__all__) == sorted(TESTING)
    assert all(inspect.getdoc(getattr(perdure.testing, name)) for name in TESTING)


def test_what_logging_can_know_of_runs_is_this() -> None:
    assert perdure.logging.__all__ == ["RunContext", "is_replaying"]
    assert all(inspect.getdoc(getattr(perdure.logging, name)) for name in perdure.logging.__all__)


def test_the_names_stand_in_order_and_once() -> None:
    assert list(perdure.__all__) == sorted(set(perdure.__all__))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_public_name_is_there_and_says_what_it_does(name: str) -> None:
    assert inspect.getdoc(getattr(perdure, name))
