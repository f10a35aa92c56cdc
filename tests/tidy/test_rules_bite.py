"""Each rule finds what it is for, and leaves alone what is right."""

from textwrap import dedent

import pytest

from tests.tidy import patience, ports, rules
from tests.tidy.project import Source

BROKEN = [
    (rules.has_docstring, "x = 1"),
    (rules.is_short, "\n" * 401),
    (rules.is_short, "def long():\n" + "    x = 1\n" * 60),
    (rules.swallows_nothing_silently, "try:\n    x()\nexcept OSError:\n    pass"),
    (rules.swallows_nothing_silently, "try:\n    x()\nexcept OSError:\n    pass  # ignore"),
    (rules.swallows_nothing_silently, "for y in x:\n    try:\n        y()\n    except OSError:\n        continue"),
    (rules.swallows_nothing_silently, "try:\n    x()\nexcept Exception as error:\n    logger.warning('%s', error)"),
    (rules.swallows_nothing_silently, "try:\n    x()\nexcept OSError:\n    ..."),
    (rules.swallows_nothing_silently, "with contextlib.suppress(OSError):\n    x()"),
    (rules.needs_the_core_only, "import rich"),
    (rules.needs_the_core_only, "from rich.table import Table"),
    (rules.never_runs_stored_code, "def f():\n    import pickle"),
    (rules.never_runs_stored_code, "eval(text)"),
    (rules.switches_no_check_off, "x = 1  # type" + ": ignore[assignment]"),
    (rules.gives_reasons_for_lint_exceptions, "x = 1  # no" + "qa"),
    (rules.gives_reasons_for_lint_exceptions, "x = 1  # no" + "qa: S301"),
    (rules.does_not_sleep_to_wait, "import time\ndef test_x():\n    time.sleep(0.1)"),
    (patience.waits_long_enough, "async def test_x():\n    assert await run.result(10) == 1"),
    (patience.waits_long_enough, "async def test_x():\n    async with asyncio.timeout(5):\n        await event.wait()"),
    (patience.waits_long_enough, "process.communicate('end', timeout=10)"),
    (rules.does_not_sleep_to_wait, "import asyncio\nasync def test_x():\n    await asyncio.sleep(INTERVAL)"),
    (rules.does_not_sleep_to_wait, "from time import sleep as nap\nclass T:\n    def test_x(self):\n        if x:\n            nap(1)"),
    (rules.does_not_sleep_to_wait, "import time, pytest\n@pytest.fixture(scope='module')\ndef server():\n    time.sleep(1)"),
    (ports.waits_with_wait_for, "import asyncio\nasync def f():\n    await asyncio.wait_for(x, 1)"),
    (ports.waits_with_wait_for, "from asyncio import wait_for\nasync def f():\n    await wait_for(x, 1)"),
]

RIGHT = [
    (rules.has_docstring, ""),
    (rules.has_docstring, '"""One subject."""'),
    (rules.is_short, "\n" * 400),
    (rules.swallows_nothing_silently, "try:\n    x()\nexcept OSError:\n    pass  # the file was deleted meanwhile, which is what we want"),
    (rules.swallows_nothing_silently, "try:\n    x()\nexcept OSError as error:\n    failures.append(error)"),
    (rules.swallows_nothing_silently, "# a process that is gone already is fine\nwith suppress(ProcessLookupError):\n    kill()"),
    (rules.needs_the_core_only, "import apsw, json\nfrom perdure.clock import Clock\ndef f():\n    import rich"),
    (rules.never_runs_stored_code, "model.eval()"),
    (rules.gives_reasons_for_lint_exceptions, "x = 1  # no" + "qa: S301 the bytes are our own"),
    (rules.does_not_sleep_to_wait, "import asyncio\nasync def test_x():\n    await asyncio.sleep(0)"),
    (
        patience.waits_long_enough,
        "async def test_x():\n    assert await run.result(30) == 1\n    await run.result(0.01)\n    await receive('x', timeout=2)",
    ),
    (
        rules.does_not_sleep_to_wait,
        "import asyncio\nasync def test_x():\n    @workflow\n    async def nap():\n        await asyncio.sleep(3600)\n    await run(nap)",
    ),
    (ports.waits_with_wait_for, '"""asyncio.wait_for"""\nimport asyncio\nasync def f():\n    async with asyncio.timeout(1): ...'),
]


def named(value: object) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("rule", "text"), BROKEN, ids=named)
def test_a_broken_rule_is_found(rule: rules.Rule, text: str) -> None:
    assert list(rule(Source("sample.py", dedent(text))))


@pytest.mark.parametrize(("rule", "text"), RIGHT, ids=named)
def test_what_is_right_is_left_alone(rule: rules.Rule, text: str) -> None:
    assert not list(rule(Source("sample.py", dedent(text))))


@pytest.mark.parametrize(
    "path", ["src/perdure/utils.py", "src/perdure/store/sql_helpers.py", "src/perdure/common/clock.py", "src/perdure/base.py"]
)
def test_a_name_that_says_nothing_is_found(path: str) -> None:
    assert list(rules.is_named_for_its_subject(Source(path, "")))


@pytest.mark.parametrize("path", ["src/perdure/store/database.py", "src/perdure/engine/__init__.py"])
def test_a_name_that_says_its_subject_is_left_alone(path: str) -> None:
    assert not list(rules.is_named_for_its_subject(Source(path, "")))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import time\ntime.monotonic()", "time.monotonic"),
        ("from time import time_ns as clock\ndef f(now=clock): ...", "time.time_ns"),
        ("from datetime import datetime, UTC\ndatetime.now(UTC)", "datetime.datetime.now"),
        ("import datetime\ndatetime.datetime.now()", "datetime.datetime.now"),
        ("import random\nrandom.choice(x)", "random.choice"),
        ("from random import Random\nRandom()", "random.Random"),
        ("import uuid\nuuid.uuid4()", "uuid.uuid4"),
        ("import os\nos.urandom(8)", "os.urandom"),
        ("import secrets\nsecrets.token_hex()", "secrets.token_hex"),
        ("import asyncio\nasyncio.create_task(x)", "asyncio.create_task"),
        ("import asyncio as aio\naio.sleep(1)", "asyncio.sleep"),
    ],
)
def test_a_way_past_the_ports_is_found(text: str, name: str) -> None:
    assert name in [found for _, found in ports.reaches_past_the_ports(Source("sample.py", text))]


def test_a_seeded_generator_and_types_pass_the_ports() -> None:
    text = """
        import asyncio, uuid
        from datetime import datetime
        from random import Random
        Random(7)
        def f(x: uuid.UUID, y: datetime, z: asyncio.Task): ...
    """
    assert not list(ports.reaches_past_the_ports(Source("sample.py", dedent(text))))
