"""What is found in workflow code, with its line and what to use instead; and what is left alone."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from perdure.authoring.lint import CodeFinding, lint
from perdure.authoring.workflow import Workflow

HEAD = """
import asyncio
from perdure import step, workflow, receive, now, info
import perdure

@step
async def charge(amount: int = 1) -> int:
    return amount
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    """Modules by name; `x_in_shop` is the module `x` of the package `shop`."""
    for name, text in files.items():
        place = folder / "shop" if name.endswith("_in_shop") else folder
        path = place / f"{name.removesuffix('_in_shop')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))


def found_in(folder: Path, text: str, name: str = "app") -> list[CodeFinding]:
    """In the workflows of a module with this text below the usual imports."""
    write(folder, **{name: HEAD + dedent(text)})
    module: Any = importlib.import_module(name)
    return lint([one for one in vars(module).values() if isinstance(one, Workflow)])


def body(*lines: str, before: str = "") -> str:
    return dedent(before) + "\n@workflow\nasync def flow(given=None) -> None:\n" + indent("\n".join(lines), "    ") + "\n"


def said(folder: Path, *lines: str, before: str = "") -> str:
    """What is said about a workflow with this body: one finding."""
    (one,) = found_in(folder, body(*lines, before=before))
    return one.text


CLOCK = "reads the clock, which shows another time on every replay: use perdure.now()"


@pytest.mark.parametrize(
    ("before", "line", "name"),
    [
        ("import time", "time.time()", "time.time"),
        ("import time as t", "x = t.monotonic()", "time.monotonic"),
        ("from time import perf_counter as tick", "tick()", "time.perf_counter"),
        ("from datetime import datetime as dt", "dt.now()", "datetime.datetime.now"),
        ("import datetime", "datetime.datetime.now(datetime.UTC)", "datetime.datetime.now"),
        ("import datetime as d", "d.date.today()", "datetime.date.today"),
        ("from datetime import datetime", "datetime.utcnow().isoformat()", "datetime.datetime.utcnow"),
        ("import time\nclock = time.time", "clock()", "time.time"),
        ("from time import *", "time()", "time.time"),
        ("import time", "time.localtime()", "time.localtime"),
        ("import time", "await charge(int(time.time()))", "time.time"),
        ("import time", "f'{time.time()}'", "time.time"),
        ("", "import time; time.time()", "time.time"),
        ("", "from datetime import datetime as when; when.now()", "datetime.datetime.now"),
        ("import time", "begin = time.time\nbegin()", "time.time"),
    ],
)
def test_a_clock_is_found_however_it_was_imported(folder: Path, before: str, line: str, name: str) -> None:
    assert found_in(folder, body(line, before=before))[0].text == f"{name} {CLOCK}"


@pytest.mark.parametrize(
    ("before", "line", "words"),
    [
        ("import random", "random.choice([1])", "random.choice gives other values on every replay: use perdure.random()"),
        ("import random", "random.Random().random()", "random.Random gives other values"),
        ("from random import shuffle", "shuffle([1])", "random.shuffle gives other values"),
        ("import os", "os.urandom(4)", "os.urandom gives other bytes"),
        ("from uuid import uuid4", "uuid4()", "uuid.uuid4 gives another id on every replay: use perdure.uuid4()"),
        ("import uuid as u", "sorted([1], key=u.uuid4)", "uuid.uuid4 gives another id"),
        ("import secrets", "secrets.token_hex()", "secrets.token_hex gives other bytes"),
        ("", "open('x')", "open reads or changes files, which happens again on every replay: move it into a @step"),
        ("from pathlib import Path", "Path('x').read_text()", "reads or changes files"),
        ("from pathlib import Path", "path = Path('x') / 'y'\npath.exists()", "path.exists reads or changes files"),
        ("", "given.write_text('x')", "given.write_text reads or changes files"),
        ("import os.path", "os.path.exists('x')", "os.path.exists reads or changes files"),
        ("from os import path", "path.getsize('x')", "os.path.getsize reads or changes files"),
        ("import os", "os.environ['HOME']", "os.environ differs from host to host"),
        ("import os", "os.getenv('HOME')", "os.getenv differs from host to host"),
        ("import subprocess as sp", "sp.run(['ls'])", "subprocess.run starts or signals a process"),
        ("import urllib.request", "urllib.request.urlopen('x')", "urllib.request.urlopen talks over the network"),
        ("import sqlite3", "sqlite3.connect('x')", "sqlite3.connect talks to a database"),
        ("import sqlite3\ndb = sqlite3.connect(':memory:')", "db.execute('select 1')", "db.execute talks to a database"),
        ("import socket", "socket.create_connection(('x', 1))", "socket.create_connection talks over the network"),
        ("import threading", "threading.Thread(target=print).start()", "threading.Thread starts a thread"),
        ("", "await asyncio.to_thread(print)", "asyncio.to_thread starts a thread or process, whose moment does not replay"),
        ("", "await asyncio.get_running_loop().run_in_executor(None, print)", "run_in_executor starts a thread"),
        ("", "await asyncio.open_connection('x', 1)", "asyncio.open_connection talks over the network"),
        ("", "await asyncio.create_subprocess_exec('ls')", "asyncio.create_subprocess_exec starts or signals a process"),
        ("import time", "time.sleep(1)", "time.sleep blocks the worker and does not survive a restart: use `await asyncio.sleep(…)`"),
        ("", "input()", "input waits for a keyboard: use `await receive(…)`"),
        ("", "hash('x')", "hash differs from process to process"),
        ("", "asyncio.run(charge())", "asyncio.run leaves the run's own event loop"),
        ("LOCK = asyncio.Lock()", "async with LOCK: pass", "LOCK is made once for all runs of this process"),
        ("import random\nDICE = random.Random(1)", "DICE.random()", "DICE.random is shared by all runs"),
        ("import itertools\nIDS = itertools.count()", "next(IDS)", "IDS is shared by all runs"),
    ],
)
def test_what_does_not_replay_is_found_with_what_to_use_instead(folder: Path, before: str, line: str, words: str) -> None:
    assert words in said(folder, *line.split("\n"), before=before)


@pytest.mark.parametrize(
    ("library", "line"),
    [
        ("httpx", "async with httpx.AsyncClient() as client: await client.get('x')"),
        ("httpx", "httpx.get('x')"),
        ("requests", "requests.post('x')"),
        ("aiohttp", "async with aiohttp.ClientSession() as session: pass"),
    ],
)
def test_http_clients_are_found(folder: Path, library: str, line: str) -> None:
    write(folder, **{library: "class AsyncClient: ...\nclass ClientSession: ...\ndef get(x): ...\ndef post(x): ..."})
    assert all("talks over the network" in one.text for one in found_in(folder, body(line, before=f"import {library}")))
    assert found_in(folder, body(line, before=f"import {library}"), name="again")


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        ("", ["for x in {'a', 'b'}: await charge(x)"]),
        ("", ["names = set(given)", "for x in names: await charge(x)"]),
        ("", ["[await charge(x) for x in set(given)]"]),
        ("", ["list({'a', given})"]),
        ("", ["','.join({'a', given})"]),
        ("", ["await asyncio.gather(*{given, 'b'})"]),
        ("", ["(set(given) | {'a'}).pop()"]),
        ("", ["a, b = {'a', 'b'}"]),
        ("", ["for x in set(given).union('ab'): pass"]),
        ("", ["for x in given.keys() & {'a'}: pass"]),
        ("NAMES = frozenset({'a', 'b'})", ["for x in NAMES: await charge(x)"]),
        ("", ["next(iter({'a', given}))"]),
        ("", ["{x: 1 for x in {'a', given}}"]),
    ],
)
def test_an_unordered_set_is_found_where_its_order_counts(folder: Path, before: str, lines: list[str]) -> None:
    words = "is a set, whose order differs from process to process: use sorted(…), a list, or dict.fromkeys(…)"
    assert words in said(folder, *lines, before=before)


def test_a_parameter_that_is_a_set_by_its_hint_is_found(folder: Path) -> None:
    (one,) = found_in(folder, "@workflow\nasync def flow(names: set[str]) -> None:\n    for name in names: await charge(1)\n")
    assert one.name == "names"


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("SEEN = []", "SEEN.append(1)"),
        ("SEEN = {}", "SEEN['a'] = 1"),
        ("SEEN = {}", "SEEN['a']['b'] += 1"),
        ("from collections import defaultdict\nSEEN = defaultdict(int)", "SEEN.update(a=1)"),
        ("class Config: limit = 1", "Config.limit = 2"),
        ("import sys", "sys.tracebacklimit = 1"),
        ("COUNT = 0", "global COUNT\nCOUNT += 1"),
    ],
)
def test_what_all_runs_share_is_found_where_workflow_code_changes_it(folder: Path, before: str, line: str) -> None:
    words = "changes what all runs of this process share, and is not recorded"
    assert words in found_in(folder, body(*line.split("\n"), before=before))[0].text


def test_a_global_that_other_code_changes_is_found_where_it_is_read(folder: Path) -> None:
    before = """
    RATE = 1
    def set_rate(rate):
        global RATE
        RATE = rate
    """
    assert said(folder, "await charge(RATE)", before=before).startswith("RATE is changed while the program runs")


# ── what is left alone ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        (
            "",
            ["await charge(1)", "await asyncio.sleep(5)", "now(); perdure.uuid4(); perdure.random().choice([1])", "await receive('paid')"],
        ),
        ("", ["async with asyncio.timeout(5): await asyncio.gather(charge(), charge())", "await asyncio.wait_for(charge(), 5)"]),
        ("", ["lock = asyncio.Lock()", "async with lock: pass", "queue = asyncio.Queue()", "queue.put_nowait(1)"]),
        ("import random", ["random.Random(5).choice([1])", "rng = random.Random(info().run_id)", "rng.random()"]),
        ("import time", ["time.gmtime(0)", "time.strftime('%Y', time.gmtime(0))"]),
        ("from datetime import datetime, timedelta", ["datetime(2026, 1, 1) + timedelta(1)", "datetime.fromisoformat('2026-01-01')"]),
        ("import datetime", ["def f(x: datetime.datetime) -> None: ...", "isinstance(given, datetime.date)"]),
        ("import time", ["time = given", "time.time()"]),
        ("import time", ["for time in given: time.time()"]),
        ("import time", ["[time.time() for time in given]"]),
        ("import time", ["(lambda time: time.time())(given)"]),
        ("import time", ["def inner(time): return time.time()", "inner(given)"]),
        ("", ["open = given", "open()"]),
        ("", ["id = 5", "await charge(id)"]),
        (
            "import threading, requests_like",
            ["try: await charge()", "except requests_like.Timeout: pass", "isinstance(given, threading.Thread)"],
        ),
        ("", ["for x in sorted({'a', given}): pass", "len({'a', given}); 'a' in {'a', given}; max({1, given}); set({'a', given})"]),
        ("", ["sum(x for x in {given, 2}); any(x for x in {given, 2})"]),
        ("", ["for x in {1, 2, 3}: pass", "for x in {'a': 1}: pass"]),
        (
            "",
            [
                "tasks = {asyncio.create_task(charge(x)) for x in [1]}",
                "done, left = await asyncio.wait(tasks)",
                "for t in done: t.result()",
            ],
        ),
        ("", ["tasks = set()", "tasks.add(asyncio.create_task(charge()))", "for t in tasks: t.cancel()"]),
        ("SEEN = []", ["SEEN = []", "SEEN.append(1)"]),
        ("LIMIT = 5\nNAMES = ['a']", ["await charge(LIMIT)", "for x in NAMES: await charge(x)", "NAMES.index('a')"]),
        ("import logging\nlog = logging.getLogger()", ["log.info('x')", "print('x')"]),
        ("import json, math, re", ["json.dumps({}); math.sqrt(2); re.match('a', 'b')", "{}.update(a=1); [].append(1)"]),
        ("import os", ["os.path.join('a', 'b'); os.sep; os.fspath('a')"]),
        ("from pathlib import PurePath, Path", ["PurePath('a').name", "Path('a').suffix", "(Path('a') / 'b').with_suffix('.c')"]),
        ("", ["class Local:", "    value = 1", "Local.value"]),
        ("import contextvars\nWHO = contextvars.ContextVar('who')", ["WHO.set('a')", "WHO.get()"]),
    ],
)
def test_what_replays_is_left_alone(folder: Path, before: str, lines: list[str]) -> None:
    write(folder, requests_like="class Timeout(Exception): ...")
    assert found_in(folder, body(*lines, before=before)) == []


def test_a_step_may_do_anything_however_it_was_made(folder: Path) -> None:
    text = """
    import time, random
    from perdure import step as durable
    from perdure import Retry
    again = step(retry=Retry(attempts=2))

    @step
    async def one() -> float: return time.time()

    @durable(timeout=5)
    def two() -> float: return random.random()

    @perdure.step(name="third")
    def three() -> float: return time.time()

    @again
    def four() -> float: return time.time()

    def plain() -> float: return time.time()
    five = step(plain)

    def tells() -> float: return time.time()

    @workflow
    async def flow() -> None:
        @step
        def inner() -> float: return time.time()
        @again
        def other() -> float: return time.time()
        await one(); await two(); await three(); await four(); await five(); await inner(); await other()
        await one.options(timeout=3)()
    """
    assert found_in(folder, text) == []


# ── following calls ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_function_of_the_same_module_is_followed_and_the_way_is_told(folder: Path) -> None:
    text = """
    import time
    def stamp() -> float:
        return time.time()

    async def label(text):
        return f"{text} {stamp()}"

    def unused() -> float:
        return time.time()

    @workflow
    async def flow() -> None:
        await label("x")
    """
    (one,) = found_in(folder, text)
    assert one.text == f"time.time {CLOCK} (in stamp, which workflow flow calls)"
    assert (Path(one.path).name, one.line, one.column) == ("app.py", 12, 12)


def test_functions_of_the_same_package_are_followed_through_imports_of_all_kinds(folder: Path) -> None:
    write(
        folder,
        __init___in_shop="from shop.stamps import stamp as exported",
        stamps_in_shop="import time\ndef stamp(): return time.time()\ndef other(): return time.time()\ndef third(): return time.time()",
        beside="import uuid\ndef number(): return uuid.uuid4()",
        flows_in_shop=HEAD
        + dedent("""
        import beside
        from . import stamps
        from .stamps import other as renamed
        from shop import exported

        @workflow
        async def flow() -> None:
            exported(); renamed(); stamps.third(); beside.number()
            from shop.late import late
            late()
        """),
        late_in_shop="import os\ndef late(): return os.urandom(1)",
    )
    module: Any = importlib.import_module("shop.flows")
    found = lint([module.flow])
    assert [(Path(one.path).name, one.line, one.name) for one in found] == [
        ("beside.py", 2, "uuid.uuid4"),
        ("late.py", 2, "os.urandom"),
        ("stamps.py", 2, "time.time"),
        ("stamps.py", 3, "time.time"),
        ("stamps.py", 4, "time.time"),
    ]


def test_methods_and_constructors_of_own_classes_are_followed(folder: Path) -> None:
    text = """
    import time
    from dataclasses import dataclass

    @dataclass
    class Order:
        id: int
        def __post_init__(self): self.at = time.time()
        def age(self): return time.monotonic()
        @property
        def tick(self): return time.perf_counter()
        @staticmethod
        def make(): return time.time_ns()
        def unused(self): return time.thread_time()

    @workflow
    async def flow(order: Order) -> None:
        Order.make()
        made = Order(1)
        made.age()
        order.tick
    """
    names = ["time.time", "time.monotonic", "time.perf_counter", "time.time_ns"]
    assert [one.name for one in found_in(folder, text)] == names


def test_functions_that_are_handed_over_and_inner_ones_are_read_too(folder: Path) -> None:
    text = """
    import time
    def stamp(x): return time.time()
    async def later(): return time.monotonic()

    @workflow
    async def flow(given: list[int]) -> None:
        sorted(given, key=stamp)
        asyncio.create_task(later())
        def inner(): return time.perf_counter()
        shown = lambda: time.time_ns()
    """
    assert [one.name for one in found_in(folder, text)] == ["time.time", "time.monotonic", "time.perf_counter", "time.time_ns"]


def test_functions_that_call_each_other_end(folder: Path) -> None:
    text = """
    import time
    def even(n): return n == 0 or odd(n - 1)
    def odd(n): return n != 0 and even(n - 1) and time.time()

    @workflow
    async def flow() -> None: even(4)

    @workflow
    async def again() -> None: odd(4)
    """
    assert len(found_in(folder, text)) == 1


def test_what_is_imported_only_when_it_is_called_is_read_and_not_imported(folder: Path) -> None:
    write(
        folder,
        __init___in_shop="raise AssertionError('imported')",
        stamps_in_shop="import time\ndef stamp(): return time.time()",
    )
    lines = [
        "from shop.stamps import stamp",
        "import shop.stamps",
        "stamp()",
        "shop.stamps.stamp()",
        "import antigravity",
        "antigravity.fly.far()",
    ]
    assert [one.name for one in found_in(folder, body(*lines))] == ["time.time"]
    assert not {"shop", "shop.stamps", "antigravity"} & set(sys.modules)


def test_libraries_are_not_followed(folder: Path) -> None:
    assert found_in(folder, body("dataclasses.make_dataclass('X', [])", "click.echo('x')", before="import dataclasses, click")) == []


# ── allowances ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_line_may_be_allowed_with_a_reason(folder: Path) -> None:
    lines = [
        "time.time()  # perdure: allow it is only logged",
        "# perdure: allow: measured, never decided upon",
        "time.time()",
        "time.time()",
    ]
    assert [one.line for one in found_in(folder, body(*lines, before="import time"))] == [15]


def test_a_function_may_be_allowed_as_a_whole(folder: Path) -> None:
    text = """
    import time
    def stamp():  # perdure: allow the caller logs it
        return time.time()

    # perdure: allow - only in tests
    def other():
        return time.time()

    @workflow
    async def flow() -> None: stamp(); other()
    """
    assert found_in(folder, text) == []


def test_an_allowance_without_a_reason_is_told(folder: Path) -> None:
    text = said(folder, "time.time()  # perdure: allow", before="import time")
    assert text == "this allowance gives no reason: write `# perdure: allow REASON`"


def test_a_text_that_looks_like_an_allowance_allows_nothing(folder: Path) -> None:
    assert "time.time" in said(folder, "time.time(), '# perdure: allow because'", before="import time")


# ── odd sources ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_workflow_without_source_is_told_and_not_passed_over() -> None:
    space: dict[str, Any] = {"__name__": "nowhere"}
    code = compile("from perdure import workflow\n@workflow\nasync def flow(): pass\n", "<typed>", "exec")
    exec(code, space)
    (one,) = lint([space["flow"]])
    assert "the source of workflow 'flow' cannot be read" in one.text


def test_a_workflow_inside_a_function_and_one_with_more_decorators_are_found_by_their_line(folder: Path) -> None:
    text = """
    import time
    def make():
        @workflow(name="other name")
        async def flow() -> None: time.time()
        return flow
    made = make()
    """
    (one,) = found_in(folder, text)
    assert (one.line, one.workflow) == (13, "other name")


def test_the_demo_and_the_samples_of_the_tests_are_clean() -> None:
    from perdure.demo import purchasing
    from tests.versions.samples.catalogue import SAMPLES

    flows = [one for one in vars(purchasing).values() if isinstance(one, Workflow)]
    assert flows
    assert lint(flows) == []
    assert lint([sample.workflow for sample in SAMPLES]) == []
