"""Every path through a tree of decisions is taken once."""

from collections.abc import Callable

import pytest

from perdure.testing.orders import Choices


def paths(play: Callable[[Choices], object]) -> list[object]:
    found: list[object] = []
    path: list[int] | None = []
    while path is not None:
        choices = Choices(path)
        found.append(play(choices))
        path = choices.next_path()
    return found


def test_no_decision_is_one_path() -> None:
    assert paths(lambda _choices: "the only one") == ["the only one"]


def test_all_combinations_are_met_once_each_the_last_decision_first() -> None:
    assert paths(lambda choices: (choices.choose(2), choices.choose(3))) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_a_decision_may_depend_on_those_before() -> None:
    def play(choices: Choices) -> tuple[int, ...]:
        first = choices.choose(3)
        return (first, *(choices.choose(2) for _ in range(first)))

    assert paths(play) == [(0,), (1, 0), (1, 1), (2, 0, 0), (2, 0, 1), (2, 1, 0), (2, 1, 1)]


@pytest.mark.parametrize("depth", [1, 5, 10])
def test_a_single_option_is_no_decision(depth: int) -> None:
    assert paths(lambda choices: [choices.choose(1) for _ in range(depth)]) == [[0] * depth]
