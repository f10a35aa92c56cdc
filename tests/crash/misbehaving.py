"""Workflows whose steps do to their worker what steps should not do."""

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from perdure import Client, Retry, step, workflow
from tests.crash import workload
from tests.crash.effects import tell
from tests.crash.workload import body, effect, is_open, sync_effect

MEMORY_MEBIBYTES = 600
HANGING_SECONDS = 1.0  # what does not hang needs less, also on a busy machine
QUICK = Retry(initial=0.02, jitter=0, attempts=4)


def first_time(name: str) -> bool:
    """Once for all processes of a test."""
    try:
        os.close(os.open(workload.gates / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def leave(how: str) -> None:
    match how:
        case "os._exit":
            os._exit(3)
        case "sys.exit":
            sys.exit(3)
        case "KeyboardInterrupt":
            raise KeyboardInterrupt
        case "GeneratorExit":
            raise GeneratorExit
        case "CancelledError":
            raise asyncio.CancelledError
        case "BaseException":
            raise BaseException("of a kind of its own")
        case "StopIteration":
            raise StopIteration


@step(retry=QUICK)
async def leaves_step(how: str) -> str:
    with body() as value:
        if first_time(f"left-{how}"):
            leave(how)
        return value


@step(retry=QUICK)
def leaves_sync_step(how: str) -> str:
    with body() as value:
        if first_time(f"left-sync-{how}"):
            leave(how)
        return value


@workflow
async def leaves_by(how: str, is_async: bool) -> str:
    try:
        return await (leaves_step(how) if is_async else leaves_sync_step(how))
    except BaseException as error:
        await effect()
        return f"failed: {type(error).__name__}"


@workflow
async def leaves_in_workflow(how: str) -> str:
    await effect()
    leave(how)
    return "not reached"


@step(timeout=HANGING_SECONDS, retry=QUICK)
async def hangs(times: int) -> str:
    with body() as value:
        if any(first_time(f"hung-{number}") for number in range(times)):
            await asyncio.Event().wait()
        return value


@step(timeout=HANGING_SECONDS, retry=QUICK)
def sync_hangs(times: int) -> str:
    with body() as value:
        if any(first_time(f"sync-hung-{number}") for number in range(times)):
            threading.Event().wait()
        return value


@workflow
async def hanging(times: int) -> list[str]:
    return [await hangs(times), await sync_hangs(times)]


@step
def hangs_for_ever() -> str:
    with body():
        threading.Event().wait()
    return "never"


@workflow
async def hangs_at_exit() -> str:
    return await hangs_for_ever()


@step
async def blocks_loop(seconds: float) -> str:
    with body() as value:
        time.sleep(seconds)
        return value


@workflow
async def blocks(seconds: float) -> str:
    return await blocks_loop(seconds)


@workflow
async def many_sync(steps: int) -> int:
    return len(await asyncio.gather(*(sync_effect() for _ in range(steps))))


@step
async def takes_all_files(gate: str) -> str:
    """Until the test opens the gate, no file can be opened in this process."""
    with body() as value:
        taken: list[int] = []
        while not is_open_without_files(gate):
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                if taken and not first_told:
                    first_told.append(len(taken))
                    tell("files taken", count=len(taken))
                await asyncio.sleep(0.01)
        for descriptor in taken:
            os.close(descriptor)
        return value


first_told: list[int] = []


def is_open_without_files(gate: str) -> bool:
    """stat() needs no descriptor."""
    return os.path.exists(workload.gates / gate)


@workflow
async def exhausts(gate: str) -> str:
    return await takes_all_files(gate)


@step
def forks_child(gate: str) -> str:
    """A child that outlives the worker, until the test opens the gate."""
    with body() as value:
        tell_child = os.fork()
        if tell_child == 0:
            while not is_open(gate):
                time.sleep(0.01)
            os._exit(0)
        tell("forked", child=tell_child)
    wait_for_gate("after-fork")
    return value


def wait_for_gate(gate: str) -> None:
    while not is_open(gate):
        time.sleep(0.003)


@workflow
async def forks(gate: str) -> list[str]:
    return [await effect(), await forks_child(gate)]


engine: list[Client] = []
"""The engine of this process, for steps that misuse it after a fork."""


@step
def uses_engine_in_child() -> str:
    with body() as value:
        child = os.fork()
        if child == 0:
            thread = threading.Thread(target=use_and_tell)  # outside the event loop that the parent is running
            thread.start()
            thread.join(20)
            os._exit(0)
        os.waitpid(child, 0)
        return value


def use_and_tell() -> None:
    async def use(call: Callable[[], Any]) -> None:
        try:
            await call()
        except Exception as error:
            tell("in child", error=type(error).__name__, said=str(error))
        else:
            tell("in child", error=None, said="it worked")

    asyncio.run(use(lambda: engine[0].run("misuse").status()))
    asyncio.run(use(lambda: engine[0].start(workload.sequence, 1, id="from-child")))
    asyncio.run(use(lambda: engine[0].run("misuse").signal("go", 1, key="from-child")))


@workflow
async def misuses() -> str:
    return await uses_engine_in_child()


@step(retry=Retry(initial=timedelta(hours=1)))
async def fails_for_long() -> str:
    with body():
        raise RuntimeError("not today")


@workflow
async def backs_off() -> str:
    return await fails_for_long()


@workflow
async def sleeps(seconds: float) -> None:
    await asyncio.sleep(seconds)


def segfault() -> None:
    ctypes.string_at(0)


def take_memory() -> None:
    """Until the kernel ends it; without a limit, as the kernel would."""
    everything = b"x" * (MEMORY_MEBIBYTES << 20)
    os.kill(os.getpid(), signal.SIGKILL if everything else signal.SIGTERM)


DEADLY = {"segfault": segfault, "take_memory": take_memory}


@step
async def kills_in_step(how: str) -> None:
    with body():
        DEADLY[how]()


@step
def kills_in_thread(how: str) -> None:
    with body():
        DEADLY[how]()


@workflow
async def kills(how: str, where: str) -> None:
    """Its process, every time."""
    await effect()
    match where:
        case "step":
            await kills_in_step(how)
        case "thread":
            await kills_in_thread(how)
        case "workflow":
            DEADLY[how]()


@step
async def returns_much(megabytes: int) -> str:
    return "x" * (megabytes << 20)


@workflow
async def too_much(megabytes: int) -> int:
    return len(await returns_much(megabytes))


WORKFLOWS = {
    one.name: one
    for one in (
        leaves_by,
        leaves_in_workflow,
        hanging,
        hangs_at_exit,
        blocks,
        many_sync,
        exhausts,
        forks,
        misuses,
        backs_off,
        sleeps,
        too_much,
        kills,
    )
}
