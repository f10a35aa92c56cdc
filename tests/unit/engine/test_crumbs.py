"""Crumbs: who reads them after a death knows whose code was executing."""

import asyncio
from pathlib import Path

import pytest

from perdure.engine.crumbs import Crumbs, crumb_of, crumbs_beside, executing, watched


@pytest.fixture
def lock(tmp_path: Path) -> str:
    return str(tmp_path / "worker.lock")


@pytest.fixture
def crumbs(lock: str) -> Crumbs:
    crumbs = Crumbs(threads=3)
    crumbs.open(crumbs_beside(lock))
    return crumbs


def test_a_run_is_named_while_its_code_executes_and_not_afterwards(crumbs: Crumbs, lock: str) -> None:
    crumbs.drop(crumb_of("order-1"))
    assert executing(lock) == ({"order-1"}, False)

    crumbs.pick_up()
    assert executing(lock) == (frozenset(), False)


def test_the_event_loop_and_each_thread_have_a_place_of_their_own(crumbs: Crumbs, lock: str) -> None:
    slots = [crumbs.take_slot() for _ in range(3)]
    assert sorted(slots) == [1, 2, 3]
    for slot in (0, *slots):
        crumbs.drop(crumb_of(f"order-{slot}"), slot)
    assert executing(lock)[0] == {"order-0", "order-1", "order-2", "order-3"}

    crumbs.give_back(slots[0])
    assert executing(lock)[0] == {"order-0", "order-1", "order-2", "order-3"} - {f"order-{slots[0]}"}
    assert crumbs.take_slot() == slots[0]


def test_a_short_name_over_a_long_one_leaves_nothing_of_the_long_one(crumbs: Crumbs, lock: str) -> None:
    crumbs.drop(crumb_of("a-very-long-name-of-a-run"))
    crumbs.drop(crumb_of("a"))
    assert executing(lock)[0] == {"a"}


@pytest.mark.parametrize("name", ["Bücher 📚", "x" * 200, "ü" * 200, "\ud800"], ids=["letters", "long", "long letters", "no text"])
def test_any_id_of_a_run_fits(crumbs: Crumbs, lock: str, name: str) -> None:
    crumbs.drop(crumb_of(name))
    (found,) = executing(lock)[0]
    assert found == name.encode(errors="replace").decode()


def test_it_says_whether_a_suspect_had_the_process_to_itself(crumbs: Crumbs, lock: str) -> None:
    crumbs.drop(crumb_of("order-1"))
    crumbs.say_alone(True)
    assert executing(lock) == ({"order-1"}, True)
    crumbs.say_alone(False)
    assert executing(lock) == ({"order-1"}, False)


def test_what_is_down_goes_along_into_a_new_file(crumbs: Crumbs, tmp_path: Path) -> None:
    crumbs.drop(crumb_of("order-1"))
    crumbs.open(crumbs_beside(str(tmp_path / "next.lock")))
    assert executing(str(tmp_path / "next.lock"))[0] == {"order-1"}
    assert not (tmp_path / "worker.crumbs").exists()


def test_without_a_file_nobody_is_suspected(tmp_path: Path) -> None:
    crumbs = Crumbs(threads=1)
    crumbs.drop(crumb_of("order-1"))
    assert executing("") == executing(str(tmp_path / "nobody.lock")) == (frozenset(), False)


def test_a_file_takes_its_space_at_once(crumbs: Crumbs, lock: str) -> None:
    status = Path(crumbs_beside(lock)).stat()
    assert status.st_blocks * 512 >= status.st_size > 0


async def test_a_coroutine_is_watched_while_it_executes_and_not_while_it_is_suspended(crumbs: Crumbs, lock: str) -> None:
    seen: list[frozenset[str]] = []
    go = asyncio.Event()

    async def body() -> str:
        seen.append(executing(lock)[0])
        await go.wait()
        seen.append(executing(lock)[0])
        return "done"

    async def drive() -> str:
        return await watched(body(), crumb_of("order-1"), crumbs)

    task = asyncio.create_task(drive())
    await asyncio.sleep(0)
    seen.append(executing(lock)[0])
    go.set()

    assert await task == "done"
    assert seen == [{"order-1"}, frozenset(), {"order-1"}]
    assert executing(lock)[0] == frozenset()


async def test_errors_and_cancellation_pass_through_a_watched_coroutine(crumbs: Crumbs, lock: str) -> None:
    async def fails() -> None:
        raise ValueError("no")

    async def is_cancelled() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "cleaned up"
        return "never"

    async def drive(body: object) -> object:
        return await watched(body, crumb_of("order-1"), crumbs)

    with pytest.raises(ValueError, match="no"):
        await drive(fails())
    task = asyncio.create_task(drive(is_cancelled()))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cleaned up"
    assert executing(lock)[0] == frozenset()
