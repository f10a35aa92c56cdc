"""The same at the border to the kernel: strace kills at a system call, or makes it fail."""

import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.crash.harness import Harness, result, signal, start
from tests.crash.process import STORE_FAILED
from tests.crash.sampling import SOME_AND_ALL, chosen


def may_trace() -> bool:
    """Whether strace is here and the kernel lets it trace."""
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not may_trace(), reason="there is no strace here that may trace")
LANES = (
    (start("sequence", "line", 3), result("line")),
    (start("everything", "all", 1), signal("all", 1), result("all")),
)


def injecting(call: str, what: str) -> list[str]:
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}"]


@pytest.fixture
def calls(new_harness: Callable[[], Harness]) -> dict[str, int]:
    """How often each is made by the thread that makes it most, when nothing goes wrong: strace counts by thread."""
    harness = new_harness()
    said = harness.folder / "calls"
    assert harness.worker(["strace", "-f", "-qq", "-o", str(said), "-e", "trace=fdatasync,pwrite64"], lanes=LANES).wait() == 0
    made = [line.split("(")[0].split() for line in said.read_text().splitlines() if "(" in line and "resumed" not in line]
    counted: dict[tuple[str, str], int] = {}
    for thread, call in made:
        counted[call, thread] = counted.get((call, thread), 0) + 1
    return {call: max(count for (one, _), count in counted.items() if one == call) for call in ("fdatasync", "pwrite64")}


@SOME_AND_ALL
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_f01_killed_at_a_system_call(new_harness: Callable[[], Harness], calls: dict[str, int], call: str, share: str) -> None:
    cases = chosen(range(1, calls[call] + 1), 4, share)
    killed = 0
    for kth in cases:
        harness = new_harness()
        killed += harness.launch(injecting(call, f"signal=SIGKILL:when={kth}"), lanes=LANES).wait() != 0
        harness.heal(*LANES)
    assert killed >= len(cases) // 2


@SOME_AND_ALL
def test_f34_b96_fdatasync_fails_and_the_process_ends(new_harness: Callable[[], Harness], calls: dict[str, int], share: str) -> None:
    for kth in chosen(range(calls["fdatasync"] // 3, 2 * calls["fdatasync"] // 3), 2, share):
        harness = new_harness()
        worker = harness.launch(injecting("fdatasync", f"error=EIO:when={kth}"), lanes=LANES)
        assert worker.wait() == STORE_FAILED, harness.said()
        harness.heal(*LANES)


@SOME_AND_ALL
def test_f33_pwrite64_finds_no_space_and_later_does(new_harness: Callable[[], Harness], calls: dict[str, int], share: str) -> None:
    for kth in chosen(range(calls["pwrite64"] // 2, calls["pwrite64"] - 20), 2, share):
        harness = new_harness()
        worker = harness.launch(injecting("pwrite64", f"error=ENOSPC:when={kth}..{kth + 4}"), lanes=LANES)
        assert worker.wait() == 0, harness.said()
        assert not harness.store.unfinished()
        harness.check()


def test_f36_each_fdatasync_takes_long(harness: Harness) -> None:
    worker = harness.launch(injecting("fdatasync", "delay_enter=60000"), lanes=LANES)
    assert worker.wait() == 0, harness.said()
    assert not harness.server.of("point", point="fence.lost")
    harness.check()
    assert not re.search(r"is dead|Traceback", worker.log.read_text())
