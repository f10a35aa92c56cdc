"""What pytest finds when perdure is installed: the fixture `perdure_engine`, and with a failing test what its runs did.

It is imported whenever pytest starts, so it imports nothing of the engine before a test asks for it.
"""

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from perdure.testing.harness import VirtualEngine

_engines: "pytest.StashKey[list[VirtualEngine]]" = pytest.StashKey()


@pytest.fixture
def perdure_engine(request: pytest.FixtureRequest) -> "Iterator[Callable[..., VirtualEngine]]":
    """`testing.engine` by another way: `async with perdure_engine([fulfil], start=…) as engine:`.

    Not async itself, so that it serves under pytest-asyncio, in either mode, and under anyio. A test that fails shows its runs' histories.
    """
    from perdure.testing.harness import VirtualEngine  # only now: see above

    engines: list[VirtualEngine] = request.node.stash.setdefault(_engines, [])

    def engine(workflows: Any, **options: Any) -> VirtualEngine:
        engines.append(VirtualEngine(workflows, **options))
        return engines[-1]

    yield engine
    if any(one.is_open for one in engines):
        pytest.fail("an engine of this test was not closed: use `async with perdure_engine([…]) as engine:`")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.failed:
        report.sections += [("what the runs of perdure did", one.story) for one in item.stash.get(_engines, []) if one.story]
    return report
