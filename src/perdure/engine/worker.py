"""A worker: owns runs, replays them, runs their steps, commits what they record, and lets them go."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from perdure.authoring.step import Step
from perdure.authoring.workflow import Workflow
from perdure.clock import SECOND
from perdure.engine.activation import Activation
from perdure.engine.attempts import Attempts
from perdure.engine.background import Background
from perdure.engine.clock_steps import ClockSteps
from perdure.engine.committer import Committer, Outcomes
from perdure.engine.crumbs import Crumbs
from perdure.engine.lease import Lease, begin_lease, python_minor
from perdure.engine.lingering import Lingering
from perdure.engine.live import LiveRun
from perdure.engine.loading import Loading
from perdure.engine.lookout import Lookout
from perdure.engine.ownership import Ownership
from perdure.engine.patience import insist
from perdure.engine.ports import Ports
from perdure.engine.retention import purge_for_ever
from perdure.engine.starting import Starting
from perdure.engine.suspects import Suspects
from perdure.engine.tenure import Tenure
from perdure.engine.witness import Witness
from perdure.errors import StoreError
from perdure.model.records import Record
from perdure.model.runs import RunRow
from perdure.runtime.execution import Execution
from perdure.settings import Settings
from perdure.store.endings import Continue, Finish, Park
from perdure.store.protocol import Change, Checkpoint, Claimed, Committed, Loaded, Store, Written

log = logging.getLogger("perdure.engine")


class Worker:
    """Runs the given workflows of one store until it is stopped. `failure` gets an exception when it cannot go on in this process."""

    def __init__(
        self,
        store: Store,
        namespace: str,
        workflows: Mapping[str, Workflow[..., Any]],
        ports: Ports,
        settings: Settings,
        on_end: Callable[[str, str, Record], None],
    ) -> None:
        self.loop = ports.loop()
        self.failure: asyncio.Future[None] = self.loop.create_future()
        self.live: dict[str, LiveRun] = {}
        self._store = store
        self._workflows = workflows
        self._names = tuple(workflows)
        self._steps: dict[str, Step[..., object]] = {}
        self._ports = ports
        self._settings = settings
        self._on_end = on_end
        self._lease: Lease | None = None
        self._python = python_minor()
        self._is_stopping = False
        self._claims_along = False
        self._witness = Witness(store, settings)
        self._background = Background(self.loop, self._failed)
        self._spawn = self._background.spawn
        self._may_leave = asyncio.Event()
        outcomes = Outcomes(self._committed, self._refused, self._fenced, self._failed)
        self._tenure = Tenure(ports.clock, round(settings.lease_seconds * SECOND))
        self._committer = Committer(store, ports, settings, self._names, self._python, self._tenure, outcomes)
        self._crumbs = Crumbs(settings.threads + 1)  # one for the thread that writes
        self._clock_steps = ClockSteps(ports.clock, self.loop, settings.clock_step_seconds)
        self._suspects = Suspects(settings, self.loop, self._crumbs, self.live, self._committer.want_claims)
        self._loading = Loading(store, self.loop, settings, self._loaded, self._spawn)
        self.starting = Starting(store, self._committer, lambda: self.incarnation, self._python, self._room, self._claimed)
        self.executing = self._crumbs.executing_here
        self._attempts = Attempts(namespace, store, ports, settings, self._crumbs, self._tenure, self._committer)
        self._lingering = Lingering(self.loop, settings.linger_seconds, self._park)
        self._ownership = Ownership(
            self.live, self._loading, self.starting.under_way, self._committer, lambda: store.owned_count(self.incarnation), self._disown
        )
        self._activation = Activation(
            self._committer, self._attempts, ports, settings, self.loop, self._python, self._is_crowded, self._lingering.add, self._crumbs
        )
        self._attempts.on_spoiled = self._activation.spoiled
        self._lookout = Lookout(store, self._names, ports, settings, claim=self.claim_soon, signalled=self.signalled, spawn=self._spawn)

    @property
    def incarnation(self) -> str:
        return self._lease.incarnation if self._lease is not None else ""

    @property
    def checkpoints(self) -> int:
        return self._committer.checkpoints

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        await self._be_born()
        self._lookout.start()
        self._spawn(purge_for_ever(self._store, self._settings), "perdure-retention")
        sweeping = self._lookout.sweep_for_ever(lambda: self.incarnation, self._committer.acknowledged, self._fenced, self._check_owned)
        self._spawn(sweeping, "perdure-sweep")

    async def _be_born(self) -> None:
        lease = await begin_lease(self._store, self._ports, self._settings, self._names, self._crumbs, self._tenure, self._fenced)
        self._lease = lease
        self._committer.begin(lease.incarnation, self._room, self._is_alone)
        self._committer.want_claims()

    async def stop(self) -> None:
        """Begin nothing more, let attempts under way end (bounded), hand over every run, leave."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._lookout.stop()
        self._lingering.clear()
        try:
            await self._drain()
            await self._leave()
        finally:  # also where whoever waits for this is cancelled, as often as he likes
            self._let_go()
            self._attempts.close()

    async def _drain(self) -> None:
        """Wait for attempts under way, as long as `drain_seconds` and nobody hurries."""
        self._attempts.drain(self._may_leave.set)
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._may_leave.wait()
        except TimeoutError:
            # Nothing of them is recorded; whoever claims their runs begins them again with the same keys.
            log.warning("%d attempts are still under way; they are given up and begin anew elsewhere", len(self._attempts.under_way))

    def hurry(self) -> None:
        """Do not wait for attempts under way any longer; they are given up, their runs are still handed over."""
        self._may_leave.set()

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._hand_over_all()
                await self._store.retire(self.incarnation)
        except (StoreError, TimeoutError) as error:
            # Every sweep elsewhere finds them by the lock that is let go of below.
            log.warning("the runs of this worker could not be handed over, others take them when its lease ends: %s", error)

    def _let_go(self) -> None:
        """Nothing goes on in this process, and nothing says any more that its runs are in good hands."""
        try:
            self._lookout.stop()
            self._drop_everything()
            self._committer.close()
        finally:
            self._end_lease()
            self._background.cancel()

    def _end_lease(self) -> None:
        if self._lease is not None:
            self._lease.end()
            self._crumbs.remove()
            self._lease = None

    async def _hand_over_all(self) -> None:
        """More than once: a claim under way brings more runs, and one that something has come for is not parked."""
        for _ in range(self._settings.hand_over_rounds):
            for run in list(self.live.values()):
                self._hand_over(run)
            await self._committer.settle()
            await self.starting.settle()
            if not self.live:
                return

    def _hand_over(self, run: LiveRun) -> None:
        """Waiting runs are parked with their next wake-up, the others are due at once for whoever is there."""
        self._attempts.withdraw(run)
        self._attempts.give_up(run)
        if run.is_loading:
            run.is_loading = False
            self._activation.release(run)
            return
        self._activation.park(run)
        if run.ending is None:
            self._activation.release(run)

    # ── claiming and loading ─────────────────────────────────────────────────────────────────────────────────────────

    def _room(self) -> int:
        if self._is_stopping or not self._committer.is_available or self._suspects.forbid_claims(self._is_alone()):
            return 0
        return self._settings.runs_in_memory - len(self.live) - len(self._loading.wanted) - len(self.starting.under_way)

    def _is_alone(self) -> bool:
        """Whether a suspect could be run now with nothing else in this process."""
        return not self.live and not self._loading.wanted and not self.starting.under_way

    def _is_crowded(self) -> bool:
        return len(self.live) + len(self._loading.wanted) > self._settings.runs_in_memory // 2

    def signalled(self, run_id: str) -> bool:
        """A signal for this run is in its inbox. Whether the run is in memory here, and stays."""
        run = self.live.get(run_id)
        if run is not None and not run.is_loading:
            run.reads_inbox = True
            self._committer.touch(run)
        return run is not None and not run.is_leaving

    def claim_along(self) -> None:
        """A run is about to be handed to the store: claim it in the same transaction."""
        if not self._claims_along:
            self._claims_along = True
            self.loop.call_soon(self._claim_now)

    def _claim_now(self) -> None:
        self._claims_along = False
        if not self._is_stopping:
            self._committer.want_claims()
            self._committer.flush_now()

    def claim_soon(self) -> None:
        if not self._is_stopping:
            self._committer.want_claims()

    def _loaded(self, run_id: str, found: Loaded | None) -> None:
        if found is None or found.row.owner != self.incarnation or run_id in self.live:
            self._loading.replay_ends(found)
        else:
            self._take_up(found)

    def _take_up(self, found: Loaded) -> None:
        self._ports.reached("run.loaded")
        run = self._enliven(found.row)
        if self._is_stopping:
            self._hand_over(run)
            self._loading.replay_ends(found)
        else:
            self._activation.replay(run, found, partial(self._loading.replay_ends, found))

    def _park(self, run: LiveRun) -> None:
        self._activation.park_idle(run)

    def _enliven(self, row: RunRow) -> LiveRun:
        execution = Execution(row.id, self._workflows[row.workflow], row.input, row.seed, self._settings.limits.payload_bytes, self._steps)
        token = f"{row.fencing:020d}-{self.incarnation}"
        run = self.live[row.id] = LiveRun(row, execution, token, self._committer.coming, strikes=self._suspects.take_strikes(row.id))
        return run

    # ── what commits bring ───────────────────────────────────────────────────────────────────────────────────────────

    def _committed(self, batch: Checkpoint, done: Committed) -> None:
        self._witness.saw(batch, done)
        changes = {change.run_id: change for change in batch.changes}
        for written in done.written:
            run = self.live.get(written.run_id)
            if run is not None:
                try:
                    self._written(run, changes[written.run_id], written)
                except Exception as error:
                    self._activation.spoiled(run, error)
        for claimed in done.claimed:
            self._claimed(claimed)
        if done.suspects_wait and self._suspects.make_room():
            self._committer.want_claims()
        if done.has_more:
            self._committer.want_claims()
        if done.owned is not None:
            self._ownership.compare(done.owned, batch.number)
        self._attempts.begin_put_off()
        self._loading.load_next()

    def _written(self, run: LiveRun, change: Change, written: Written) -> None:
        run.is_in_flight = False
        if written.damage is not None:
            self._activation.inbox_is_damaged(run, written.damage)
            return
        if change.clears_strikes:
            run.strikes = 0
            self._suspects.acquit(run.id)
        ending = change.ending
        if ending is not None and written.has_left:
            self._drop(run)
            if isinstance(ending, Finish) and written.records:
                self._on_end(run.id, run.row.workflow, written.records[-1])
            self._ports.reached("run.ended" if isinstance(ending, Finish) else "run.let_go")
            if isinstance(ending, Continue):
                self.claim_soon()
            if isinstance(ending, Park) and ending.wake_at is not None:
                self._lookout.wake_by(ending.wake_at)
            return
        if ending is not None and not self._activation.goes_on(run, ending):
            return
        if change.calls:
            self._attempts.called(run, change.calls, written)
        if written.has_more:
            run.reads_inbox = True
            if written.is_put_off:
                self._committer.touch_first(run)
        elif change.reads_inbox:
            self._activation.pauses(run, written.is_pausing)
        for intent in change.intents:
            command = run.execution.open.get(intent.command)
            if command is not None:
                self._attempts.queue(run, command)
        for failure in change.failures:
            command = run.execution.open.get(failure.command)
            if command is not None:
                self._attempts.begin(run, command)
        self._activation.apply(run, written.records)
        if run.released:
            self._attempts.begin_released(run)

    def _claimed(self, claimed: Claimed) -> None:
        self._witness.saw_claimed(claimed)
        try:
            self._hold(claimed)
        except Exception as error:  # put back: it is owned, and the next sweep finds that memory lacks it
            log.error("run %s could not be taken up; the next sweep tries again", claimed.row.id, exc_info=error)

    def _hold(self, claimed: Claimed) -> None:
        row = claimed.row
        if claimed.strikes:
            self._suspects.was_claimed(row.id, claimed.strikes)
        if row.id in self.live or row.id in self._loading.wanted:
            return
        self._ports.reached("run.claimed")
        if claimed.started is not None and self._is_stopping:
            self._hand_over(self._enliven(row))
        elif claimed.started is not None:
            self._activation.first(self._enliven(row), claimed.started)
        elif claimed.loaded is not None:
            self._loading.replay_begins(claimed.loaded)
            self._take_up(claimed.loaded)
        else:
            self._loading.add(row.id)

    async def _check_owned(self) -> None:
        has_stepped = self._clock_steps.has_stepped_forward()
        for run in self.live.values():
            self._activation.look_again(run, has_stepped)
        await self._ownership.check()

    def _refused(self, run_id: str, reason: str) -> None:
        """The store does not take what this run has to write; its neighbours are not concerned."""
        run = self.live.get(run_id)
        if run is not None and not self._activation.is_set_aside(run, reason):
            self._disown(run)

    # ── letting go ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _disown(self, run: LiveRun) -> None:
        """It is somebody else's, or gone."""
        self._drop(run)
        self._spawn(self._witness.look_for(run.id), "perdure-witness")

    def _drop(self, run: LiveRun) -> None:
        self.live.pop(run.id, None)
        run.let_go()
        self._suspects.acquit(run.id)
        self._committer.wake()

    def _drop_everything(self) -> None:
        self._committer.forget()
        for run in list(self.live.values()):
            self._drop(run)
        self._loading.clear()
        self._lingering.clear()
        self._suspects.clear()

    def _fenced(self, incarnation: str) -> None:
        """Declared dead: nothing in memory may be recorded. Begin a new life."""
        if self._lease is None or incarnation != self.incarnation or self.failure.done() or not self._lease.falls():
            return
        if self._is_stopping:
            self._committer.forget()
            return
        self._ports.reached("fence.lost")
        log.warning("worker %s may commit nothing any more; it drops its runs and begins anew", incarnation)
        self._drop_everything()
        self._tenure.is_lost()
        self._spawn(self._begin_anew(incarnation), "perdure-rebirth")

    async def _begin_anew(self, fallen: str) -> None:
        await self._witness.testify(fallen, self._committer.acknowledged())
        self._end_lease()  # not before: whoever sees the file let go of takes these runs
        if not self._is_stopping:
            await insist(self._be_born, self._settings, "the worker cannot register")

    def _failed(self, error: BaseException) -> None:
        if not self.failure.done():
            log.critical("this worker cannot go on in this process: %s", error)
            self.failure.set_exception(error)
            self.failure.exception()  # seen: nobody may be waiting for it
            self._let_go()
