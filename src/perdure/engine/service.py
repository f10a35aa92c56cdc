"""`Engine`: a client and a worker in one process."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, Self

from perdure.authoring.workflow import Workflow
from perdure.client import Client
from perdure.clock import Duration
from perdure.engine.definitions import OpenEngines, by_name, refuse_another
from perdure.engine.ports import Ports
from perdure.engine.retention import retaining
from perdure.engine.telling import OnTrouble, Telling
from perdure.engine.watchdog import Watchdog
from perdure.engine.worker import Worker
from perdure.model.runs import NewRun, NewSignal
from perdure.settings import DEFAULTS, Settings
from perdure.store.protocol import Started


class Engine(Client):
    """`async with Engine("sqlite:///orders.db", [fulfil]) as engine:` runs workflows until the block ends.

    Creates and migrates the store unless `migrate=False`. Leaving the block lets attempts under way end, hands every run over and
    releases the lease; a process that dies instead is recovered by whoever opens the store next.

    `async with Engine(…)` raises a StoreError where the store cannot be used. Several engines, in one process or many, share a store; each
    run belongs to one at a time. `settings`: limits and intervals, see `perdure.settings`. `ports`: clocks and the like, for tests.

    Runs are kept for ever unless `retention` says how long after their end, by how they ended:
    `retention={"completed": timedelta(days=30), "cancelled": timedelta(days=7)}`.

    `on_trouble` is called with a `Trouble` once for each run of the store that failed, was quarantined, or is stranded (due for five
    minutes with no live worker that knows its workflow), by one of the engines that have one. It is called again if it raises or takes
    longer than 30 s, with growing pauses for three days, and after a crash between the call and its note: `trouble.key` tells a repeat.
    """

    def __init__(
        self,
        url: str,
        workflows: Sequence[Workflow[..., Any]],
        *,
        namespace: str = "default",
        migrate: bool = True,
        retention: Mapping[str, Duration] | None = None,
        on_trouble: OnTrouble | None = None,
        settings: Settings = DEFAULTS,
        ports: Ports | None = None,
    ) -> None:
        if retention is not None and not isinstance(retention, Mapping):
            raise TypeError(f"retention must say how long by state, not {retention!r}: {{'completed': timedelta(days=30)}}")
        if on_trouble is not None and not callable(on_trouble):
            raise TypeError(f"on_trouble must be an async function of a Trouble, not {on_trouble!r}")
        super().__init__(url, namespace=namespace, settings=settings)
        self._settings = retaining(settings, retention or {})
        import_module("perdure.codec.schemas")  # with it comes pydantic: now, not when the first step would hold up the loop for it
        self._workflows = by_name(workflows)
        self._migrate = migrate
        self._on_trouble = on_trouble
        self._ports = ports or Ports()
        self._clock = self._ports.clock
        self._entropy = self._ports.entropy
        self._worker: Worker | None = None
        self._telling: Telling | None = None
        self._watchdog: Watchdog | None = None
        self._keeps_watching = True  # its worker watches all the time anyway

    async def __aenter__(self) -> Self:
        self._settle()
        try:
            _open_engines.add(self, self._url, self._namespace, self._workflows)
            await self._begin()
        except BaseException:
            self._home = None
            _open_engines.remove(self)
            raise
        return self

    async def _begin(self) -> None:
        store = self._ports.open_store(self._url, namespace=self._namespace, clock=self._clock, settings=self._settings)
        self._opened = await self._open(store, create=self._migrate, migrate=self._migrate)
        try:
            ports = replace(self._ports, clock=store.authority(self._ports.clock))
            self._worker = Worker(store, self._namespace, self._workflows, ports, self._settings, self._ended)
            await self._worker.start()
            if self._ports.beats_in_thread:
                self._watchdog = Watchdog(self._worker.loop, self._settings, self._worker.executing)
                self._watchdog.start()
            if self._on_trouble is not None:
                self._telling = Telling(store, self._on_trouble, ports, self._settings)
                self._telling.start()
        except BaseException:
            await store.close()
            raise

    async def __aexit__(self, *_: object) -> None:
        _open_engines.remove(self)
        try:
            if self._watchdog is not None:
                self._watchdog.stop()
            if self._telling is not None:
                self._telling.stop()
            if self._worker is not None:
                await self._worker.stop()
        finally:
            await super().__aexit__()

    @property
    def worker(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("this Engine is not open: use `async with Engine(…)`")
        return self._worker

    @property
    def failure(self) -> "asyncio.Future[None]":
        """Gets an exception when this process cannot go on (the disk failed to sync): end it and start anew."""
        return self.worker.failure

    def kill_attempts(self) -> None:
        """Let a clean stop that is under way wait no longer for attempts; their runs are still handed over."""
        self.worker.hurry()

    def _known(self, workflow: Workflow[..., Any] | str) -> Workflow[..., Any] | None:
        known = super()._known(workflow)
        if known is not None:
            refuse_another(self._workflows, known)
        return known

    def _is_at_home(self) -> bool:
        """Whether this is the event loop that the worker is on. Elsewhere it is not touched: the store says what is wrong."""
        return self._home is None or asyncio.get_running_loop() is self._home

    async def _store_start(self, run: NewRun) -> Started:
        if run.workflow not in self._workflows or not self._is_at_home():
            return await self._store.start(run)
        return await self.worker.starting.start(run)

    async def _store_send(self, signal: NewSignal, limit: int) -> None:
        if not self._is_at_home():
            await self._store.send(signal, limit)
            return
        was_here = signal.run_id in self.worker.live
        claims_along = not was_here and self._store.shares_commits
        if claims_along:
            self.worker.claim_along()  # if it is parked
        await self._store.send(signal, limit)
        if not self.worker.signalled(signal.run_id) and not claims_along:
            self.worker.claim_soon()  # it left meanwhile, or is parked

    def _will_tell(self, run_id: str) -> bool:
        return self._worker is not None and (run_id in self._worker.live or run_id in self._worker.starting.under_way)

    def _signalled(self, run_id: str) -> None:
        if not self.worker.signalled(run_id):
            self.worker.claim_soon()


_open_engines = OpenEngines()
