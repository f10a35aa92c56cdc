"""What one life of a worker takes for its event loop."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from perdure.clock import SECOND
from perdure.testing.clock import SeededEntropy, VirtualClock
from perdure.testing.loop import LifeLoop


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
async def loop(clock: VirtualClock) -> LifeLoop:
    return LifeLoop(asyncio.get_running_loop(), clock, lambda: None)


async def test_timers_ring_in_the_order_of_their_moments_and_those_of_one_moment_as_they_were_set(
    loop: LifeLoop, clock: VirtualClock
) -> None:
    rung: list[str] = []
    for seconds, name in ((3, "c"), (1, "a"), (3, "d"), (2, "b"), (9, "never")):
        loop.call_later(seconds, rung.append, name)
    clock.move_to(clock.began + 3 * SECOND)
    loop.ring()
    assert rung == ["a", "b", "c", "d"]
    assert loop.next_moment() == clock.began + 9 * SECOND


async def test_a_cancelled_timer_neither_rings_nor_counts(loop: LifeLoop, clock: VirtualClock) -> None:
    rung: list[str] = []
    loop.call_later(1, rung.append, "cancelled").cancel()
    assert loop.next_moment() is None
    clock.move_to(clock.began + SECOND)
    loop.ring()
    assert not rung


async def test_a_timer_that_is_due_already_rings_by_itself(loop: LifeLoop) -> None:
    rung = asyncio.Event()
    loop.call_later(0, rung.set)
    async with asyncio.timeout(30):
        assert await rung.wait()


async def test_a_moment_of_sixty_days_is_met_to_the_microsecond(loop: LifeLoop, clock: VirtualClock) -> None:
    clock.move_to(clock.began + 123_456_789)
    deadline = clock.began + timedelta(days=60) // timedelta(microseconds=1) + 1
    loop.call_later((deadline - clock.now()) / SECOND, lambda: None)
    assert loop.next_moment() == deadline


async def test_after_its_death_nothing_of_it_happens(loop: LifeLoop, clock: VirtualClock) -> None:
    happened: list[str] = []
    loop.call_soon(happened.append, "callback")
    loop.call_soon_threadsafe(happened.append, "from a thread")
    loop.call_later(1, happened.append, "timer")
    loop.is_dead = True
    clock.move_to(clock.began + SECOND)
    loop.ring()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not happened
    assert loop.next_moment() is None


async def test_an_error_in_a_timer_reaches_the_real_loop(loop: LifeLoop, clock: VirtualClock) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    error = LookupError("broken")

    def breaks() -> None:
        raise error

    loop.call_later(1, breaks)
    clock.move_to(clock.began + SECOND)
    loop.ring()
    assert told == [error]


def test_the_clock_never_goes_back_and_leases_have_a_time_of_their_own(clock: VirtualClock) -> None:
    booted = clock.since_boot()
    clock.move_to(clock.began + 5)
    clock.move_to(clock.began)
    assert clock.now() == clock.began + 5
    assert clock.since_boot() == booted
    clock.outlast_leases(10)
    assert clock.since_boot() == booted + 11 * SECOND


def test_chance_is_the_same_for_the_same_seed() -> None:
    assert SeededEntropy(1).bytes(8) == SeededEntropy(1).bytes(8) != SeededEntropy(2).bytes(8)
