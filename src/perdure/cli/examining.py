"""What `perdure doctor` looks at: clock, store, workers and runs, each with what to do about it."""

import platform
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

from perdure.cli.complaints import told
from perdure.clock import SECOND, HostClock, to_datetime
from perdure.engine.deaths import is_dead
from perdure.errors import PerdureError
from perdure.model.findings import Finding, Group, Level
from perdure.model.states import RunState

if TYPE_CHECKING:
    from perdure.model.runs import WorkerRow
    from perdure.store.protocol import Store

_DUE_SECONDS = 10.0  # a run that is due is claimed within a sweep; only then it is worth a word
_AHEAD_SECONDS = 5.0  # how far the store may be ahead of this clock
_OLDEST_YEAR = 2025
_NAMED_MOST = 5
_STRANDED_MOST = 1000


async def examine(url: str, namespace: str) -> list[Finding]:
    """Everything that can be seen from outside. Changes nothing."""
    from perdure.store.opening import open_store

    findings = [_versions(), *_clocks(HostClock())]
    try:
        store = open_store(url, namespace=namespace)
    except PerdureError as error:
        return [*findings, _unusable(error)]
    try:
        await store.open(create=False, migrate=False)
        findings += [one async for one in _of_store(store)]
    except (PerdureError, OSError) as error:
        findings.append(_unusable(error))
    finally:
        await store.close()
    return findings


def _unusable(error: Exception) -> Finding:
    what, remedy = told(error)
    return Finding("store", Level.WRONG, what, remedy)


def _versions() -> Finding:
    what = f"perdure {version('perdure')}, Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("versions", Level.OK, what)


# ── the clock ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _clocks(clock: HostClock) -> Iterator[Finding]:
    if to_datetime(clock.now()).year < _OLDEST_YEAR:
        yield Finding(
            "clock", Level.WRONG, f"it says {to_datetime(clock.now()):%Y-%m-%d}", "set it (timedatectl set-ntp true): timers go by it"
        )
        return
    before = clock.since_boot(), time.monotonic_ns() // 1000
    time.sleep(0.02)
    after = clock.since_boot(), time.monotonic_ns() // 1000
    passed, steady = after[0] - before[0], after[1] - before[1]
    if passed <= 0 or abs(passed - steady) > SECOND // 10:
        what = f"in {steady} µs of steady time the time since boot moved by {passed} µs"
        yield Finding("clock", Level.WRONG, what, "leases count by it: look at the virtual machine's clock source")
    else:
        slept = timedelta(microseconds=max(0, after[0] - after[1]))
        asleep = f"; this machine slept {slept} since it booted" if slept > timedelta(seconds=1) else ""
        yield Finding("clock", Level.OK, f"{to_datetime(clock.now()):%Y-%m-%d %H:%M:%S} UTC, and time since boot moves steadily{asleep}")


# ── the store ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _of_store(store: "Store") -> AsyncIterator[Finding]:
    schema = await store.schema()
    yield Finding("schema", Level.OK, f"version {schema.version}, the newest this perdure knows")
    for finding in await store.examine():
        yield finding
    clock = HostClock()
    newest = await store.newest()
    if newest is not None and newest > store.authority(clock).now() + _AHEAD_SECONDS * SECOND:
        what = f"a run was started at {to_datetime(newest):%Y-%m-%d %H:%M:%S} UTC, which is in the future: the clock was set back"
        yield Finding("clock", Level.WRONG, what, "let NTP set it; timers that were due wait until it has caught up")
    workers = await store.workers()
    groups = await store.groups()
    live = [one for one in workers if one.state == "live"]
    dead = [one for one in live if is_dead(store, clock, one)]
    alive = [one for one in live if one not in dead]
    for finding in (*_of_workers(alive, dead), *_of_runs(groups, alive)):
        yield finding
    async for finding in _of_stranded(store, alive):
        yield finding
    async for finding in _of_quarantine(store, groups):
        yield finding


def _of_workers(alive: "Sequence[WorkerRow]", dead: "Sequence[WorkerRow]") -> Iterator[Finding]:
    for one in dead:
        remedy = "any worker that runs takes its runs over within seconds" if alive else "start a worker: `perdure worker APP`"
        yield Finding(
            "workers", Level.NOTE, f"worker {one.incarnation} (pid {one.pid} on {one.host}) is dead and was not swept yet", remedy
        )
    if alive:
        pythons = sorted({one.python for one in alive})
        what = (
            f"{len(alive)} alive ({', '.join(f'pid {one.pid} on {one.host}' for one in alive[:_NAMED_MOST])}), Python {', '.join(pythons)}"
        )
        remedy = "use one Python minor for all of them, unless you are just moving" if len(pythons) > 1 else ""
        yield Finding("workers", Level.NOTE if remedy else Level.OK, what, remedy)


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_runs(groups: Sequence[Group], alive: "Sequence[WorkerRow]") -> Iterator[Finding]:
    counts: dict[str, int] = {}
    for group in groups:
        counts[group.state] = counts.get(group.state, 0) + group.count
    yield Finding("runs", Level.OK, ", ".join(f"{count} {state}" for state, count in counts.items()) or "none is unfinished")
    if not alive:
        unfinished = sum(count for state, count in counts.items() if state not in (RunState.QUARANTINED, RunState.PAUSED))
        level = Level.WRONG if unfinished else Level.NOTE
        what = f"none is alive, and {unfinished} runs are unfinished" if unfinished else "none is alive"
        yield Finding("workers", level, what, "start one: `perdure worker APP`")
        return
    known = {workflow for one in alive for workflow in one.workflows}
    unknown: dict[str, int] = {}
    for group in groups:
        if group.workflow not in known and group.state != RunState.QUARANTINED:
            unknown[group.workflow] = unknown.get(group.workflow, 0) + group.count
    for workflow, count in sorted(unknown.items()):
        what = f"no live worker knows workflow {workflow!r}, which has {count} unfinished runs"
        yield Finding("runs", Level.WRONG, what, "start a worker whose APP has it, or give the renamed one its name: @workflow(name=…)")


async def _of_stranded(store: "Store", alive: "Sequence[WorkerRow]") -> AsyncIterator[Finding]:
    """What `_of_runs` does not say already: the workflow is known, but on another Python."""
    known = {workflow for one in alive for workflow in one.workflows}
    found = [one for one in await store.stranded(round(_DUE_SECONDS * SECOND), _STRANDED_MOST) if one.workflow in known]
    if found:
        names = ", ".join(one.run_id for one in found[:_NAMED_MOST])
        pythons = ", ".join(sorted({one.only_python for one in found if one.only_python})) or "another version"
        what = f"{len(found)} runs wait for a worker on Python {pythons}, which recorded them: {names}"
        remedy = f"start one: python{pythons} -m perdure worker APP (this is {sys.version_info.major}.{sys.version_info.minor})"
        yield Finding("runs", Level.WRONG, what, remedy)


async def _of_quarantine(store: "Store", groups: Sequence[Group]) -> AsyncIterator[Finding]:
    from perdure.codec.plain import describe_failure

    count = sum(group.count for group in groups if group.state == RunState.QUARANTINED)
    if not count:
        return
    yield Finding(
        "runs", Level.WRONG, f"{count} quarantined; nothing of them is lost", "fix the code, then `perdure run resume ID` for each"
    )
    for one in await store.runs(state=RunState.QUARANTINED, limit=_NAMED_MOST):
        row = await store.run(one.id)
        error = describe_failure(row.error) if row is not None and row.error is not None else None
        reason = f"{error['type'].rpartition('.')[2]}: {error['message']}" if error else "no reason is stored"
        yield Finding("runs", Level.NOTE, f"quarantined: {one.id} ({one.workflow}): {reason}", f"`perdure run show {one.id}`")
