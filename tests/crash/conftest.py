"""A place for one crash test: a folder, a ledger, processes, and the check of both sides at the end."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.crash.harness import Harness
from tests.crash.processes import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    with Zygote() as zygote:
        yield zygote


@pytest.fixture
def harness(zygote: Zygote, tmp_path: Path) -> Iterator[Harness]:
    with Harness(zygote, tmp_path) as harness:
        yield harness


@pytest.fixture
def new_harness(zygote: Zygote, tmp_path: Path) -> Iterator[Callable[[], Harness]]:
    """For tests that do the same many times: each time a place of its own; the last one is cleared away first."""
    opened: list[Harness] = []

    def new() -> Harness:
        for one in opened:
            one.__exit__()
        opened.append(Harness(zygote, tmp_path / f"{len(opened)}").__enter__())
        return opened[-1]

    yield new
    for one in opened:
        one.__exit__()


def pytest_make_parametrize_id(val: Any) -> str | None:
    return "-".join(map(str, val)) if isinstance(val, Sequence) and not isinstance(val, str) else None
