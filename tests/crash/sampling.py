"""How much of an enumeration is done: a few evenly chosen cases in every run, all of them in the long one."""

from collections.abc import Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")

SOME_AND_ALL = pytest.mark.parametrize("share", ["some", pytest.param("all", marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
"""A test so marked takes `share` and passes it to `chosen`."""


def chosen(cases: Sequence[T], most: int, share: str) -> list[T]:
    """The first, the last, and evenly between."""
    if share == "all" or len(cases) <= most:
        return list(cases)
    return [cases[round(number * (len(cases) - 1) / (most - 1))] for number in range(most)]
