"""perdure.testing under pytest: the fixture serves whatever runs the async tests, and a failing test shows its runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = """
import asyncio

import pytest

from perdure import step, workflow

{imports}

@step
async def price(item: str) -> int:
    return len(item)

@workflow
async def buy(item: str) -> int:
    await asyncio.sleep(3600)
    return await price(item)

{mark}
async def test_buying(perdure_engine):
    async with perdure_engine([buy]) as engine:
        run = await engine.start(buy, "tea", id="order-1")
        await engine.skip(hours=1)
        assert await run.result() == {expected}
"""


AUTO = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
STRICT = ("-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function")


def run_pytest(folder: Path, *options: str, imports: str = "", mark: str = "", expected: int = 3) -> subprocess.CompletedProcess[str]:
    (folder / "test_sample.py").write_text(SAMPLE.format(imports=imports, mark=mark, expected=expected))
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    return subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, check=False, text=True, timeout=60)


@pytest.mark.parametrize(
    ("options", "imports", "mark"),
    [
        (AUTO, "", ""),
        (STRICT, "", "@pytest.mark.asyncio"),
        (("-p", "no:asyncio"), "anyio_backend = pytest.fixture(lambda: 'asyncio')", "@pytest.mark.anyio"),
    ],
    ids=["asyncio_auto", "asyncio_strict", "anyio"],
)
def test_the_fixture_serves_under(options: tuple[str, ...], imports: str, mark: str, tmp_path: Path) -> None:
    ended = run_pytest(tmp_path, *options, imports=imports, mark=mark)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout


def test_a_failing_test_shows_what_its_runs_did(tmp_path: Path) -> None:
    ended = run_pytest(tmp_path, *AUTO, expected=4)
    assert ended.returncode == 1
    shown = ended.stdout[ended.stdout.index("what the runs of perdure did") :]
    assert "run order-1 of workflow buy: completed" in shown
    assert "2026-01-01 01:00:00  3. step price {'item': 'tea'} -> 3" in shown


def test_an_engine_that_was_not_closed_fails_the_test(tmp_path: Path) -> None:
    (tmp_path / "test_open.py").write_text(
        "async def test_open(perdure_engine):\n    await perdure_engine([]).__aenter__()\n",
    )
    ended = run_pytest(tmp_path, *AUTO, "test_open.py")
    assert ended.returncode == 1
    assert "was not closed" in ended.stdout


def test_pytest_starts_without_loading_the_engine() -> None:
    program = "import sys, perdure.testing.pytest_plugin; sys.exit(any(name in sys.modules for name in ('apsw', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
