"""When has everything happened that happens at this moment of virtual time? When nothing stirs any more, and nothing is under way."""

import asyncio
from collections.abc import Callable

QUIET_TURNS = 4  # of the loop without a stir: from one stir to the next the engine needs three at most


class Settling:
    """`stirs` is called at everything that happens; `busy` says what is under way although nothing stirs: steps that take real time."""

    def __init__(self, patience: float, busy: Callable[[], list[str]]) -> None:
        self._patience = patience
        self._busy = busy
        self._stirred = 0
        self._wakes: asyncio.Event | None = None

    def stirs(self) -> None:
        self._stirred += 1
        if self._wakes is not None:
            self._wakes.set()

    def stirs_at(self, _point: str) -> None:
        self.stirs()

    async def settle(self) -> None:
        """Raises AssertionError when a step is still under way after `patience` real seconds in which nothing else happened."""
        while True:
            await self._be_quiet()
            busy = self._busy()
            if not busy:
                return
            if not await self._is_stirred_in_time() and (busy := self._busy()):
                raise AssertionError(
                    f"{', '.join(busy)} has been under way for {self._patience:g} s of real time, and nothing else happens; "
                    f"fake the step, let the fake take virtual time (takes=…), or give testing.engine(…, patience=…)"
                )

    async def _be_quiet(self) -> None:
        quiet = 0
        while quiet < QUIET_TURNS:
            before = self._stirred
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._stirred == before else 0

    async def _is_stirred_in_time(self) -> bool:
        """In real time."""
        before = self._stirred
        self._wakes = asyncio.Event()
        try:
            async with asyncio.timeout(self._patience):
                await self._wakes.wait()
        except TimeoutError:  # recorded: what is said below depends on it
            return self._stirred != before
        finally:
            self._wakes = None
        return True
