"""The same random life of runs, played on SQLite and on PostgreSQL, is answered alike at every move and ends in the same state."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import SystemRandom

import pytest

from tests.contract.acting import ManualClock
from tests.contract.places import KINDS
from tests.property.stores.playing import Game, Side

SEEDS = range(6)
TURNS = 80


@pytest.fixture(params=["postgresql", "portable"])
async def other(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator["Stores"]:
    stores = Stores(tmp_path, request.param)
    yield stores
    await stores.close()


class Stores:
    """A pair of them for each game."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._places = []

    async def play(self, seed: int, turns: int = TURNS) -> None:
        sides = []
        for kind in ("sqlite-memory", self._kind):
            clock = ManualClock()
            place = KINDS[kind].make(self._folder, clock)
            self._places.append(place)
            sides.append(Side(await place.open(), clock))
        await Game(seed, *sides).play(turns)

    async def close(self) -> None:
        for place in self._places:
            await place.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_both_stores_answer_alike(other: Stores, seed: int) -> None:
    await other.play(seed)


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_both_stores_answer_alike_for_long(other: Stores) -> None:
    first = int(os.environ.get("PERDURE_SIMULATION_SEED") or SystemRandom().randrange(10**7, 10**9))
    until = time.monotonic() + float(os.environ.get("PERDURE_SIMULATION_SECONDS", "60")) / 4
    games = 0
    while time.monotonic() < until:
        await other.play(first + games, turns=200)
        await other.close()
        games += 1
    print(f"PERDURE_SIMULATION_SEED={first}: {games} games of 200 moves")
    assert games
