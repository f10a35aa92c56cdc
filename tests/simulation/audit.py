"""Checks every transaction as it commits: what it may change, and that it leaves nothing stranded."""

from collections.abc import Sequence
from typing import Any

import apsw

from perdure.codec.plain import describe_failure
from perdure.codec.values import decode
from perdure.engine.retention import kept
from tests.simulation.bookings import Bookings
from tests.simulation.ledger import Ledger
from tests.simulation.replaying import Replays
from tests.simulation.rows import FINAL, RunShadow, Shadow
from tests.simulation.stranded import STRANDED
from tests.simulation.swarm import Swarm
from tests.simulation.transaction import TRANSITIONS, Row, Transaction, told
from tests.simulation.troubles import Troubles
from tests.simulation.watching import RowChange
from tests.simulation.world import Process, World

OUTCOMES = {"step", "step_failed", "compensated", "compensation_failed"}


class Auditor:
    def __init__(self, world: World, path: str, swarm: Swarm) -> None:
        self.world = world
        self.shadow = Shadow()
        self.bookings = Bookings(world)
        self.ledger = Ledger(world, self.shadow, self.bookings)
        self.replays = Replays(path)
        self.troubles = Troubles(world, self.shadow, swarm.settings.trouble_tries_most)
        self.quarantine_expected: set[str] = set()
        self.deletion_wanted: set[str] = set()
        self._kept = {state.value: length for state, length in kept(swarm.settings).items()}
        self._db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        self._unknown: dict[str, tuple[int, bool]] = {}

    def close(self) -> None:
        self._db.close()
        self.replays.close()

    # ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def committed(self, process: Process, changes: Sequence[RowChange], is_known: bool) -> None:
        if not changes:
            return
        at = Transaction(process)
        for change in changes:
            self.world.note(f"{process.label} {told(change)}")
            getattr(self, f"_{change.table}")(at, change.old, change.new)
        self._signals_were_taken_once(at)
        self._nothing_is_left_of_the_deleted(at)
        self._nothing_is_wanted_of_the_ended(at)
        for row in at.parked:
            self._is_parked_for_a_reason(row)
        self._is_anything_stranded()
        self.bookings.check(self._db)
        self.troubles.check(at.troubled, at.forgotten)
        if at.fence is not None and not is_known:
            self._unknown[at.fence] = (self.shadow.workers[at.fence]["checkpoint"], True)

    def was_undone(self, process: Process, changes: Sequence[RowChange]) -> None:
        for change in changes:
            if change.table == "workers" and change.new and change.old and change.new["checkpoint"] != change.old["checkpoint"]:
                self._unknown[change.new["incarnation"]] = (change.new["checkpoint"], False)

    def _broken(self, text: str) -> None:
        self.world.violate(text)

    def _is_anything_stranded(self) -> None:
        for run_id, why in self._db.execute(STRANDED, {"now": self.world.now}).fetchall():
            self._broken(f"I5: run {run_id} is stranded: {why}")

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _workers(self, at: Transaction, old: Row | None, new: Row | None) -> None:
        workers = self.shadow.workers
        if new is None:
            assert old is not None
            if old["state"] != "dead":
                self._broken(f"worker {old['incarnation']} was buried alive")
            workers[old["incarnation"]] = {**old, "state": "dead"}
            return
        if old is None:
            self.shadow.hosts[new["incarnation"]] = at.process.label
            self.shadow.registered[new["incarnation"]] = self.world.now
        elif old["state"] == "dead" and new != old:
            self._broken(f"I7: worker {new['incarnation']} is dead and was changed")
        elif new["checkpoint"] != old["checkpoint"]:
            self._fence(at, old, new)
        elif new["state"] == "live" and new["expires_at"] < old["expires_at"]:
            self._broken(f"the lease of {new['incarnation']} became shorter")
        if old is not None and old["state"] == "live" and new["state"] == "dead" and old["expires_at"] < self.world.now:
            self.world.saw("a lease ran out")
        workers[new["incarnation"]] = new

    def _fence(self, at: Transaction, old: Row, new: Row) -> None:
        incarnation, number = new["incarnation"], new["checkpoint"]
        if number != old["checkpoint"] + 1:
            self._broken(f"M12: checkpoint {number} of {incarnation} follows {old['checkpoint']}")
        if self.shadow.hosts[incarnation] != at.process.label:
            self._broken(f"M12: {at.process.label} committed as {incarnation}, which lives in {self.shadow.hosts[incarnation]}")
        at.fence = incarnation
        unknown = self._unknown.pop(incarnation, None)
        if unknown == (number - 1, True):
            self.world.saw("an unknown commit was adopted")
        elif unknown == (number, False):
            self.world.saw("an unknown commit was retried")

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _runs(self, at: Transaction, old: Row | None, new: Row | None) -> None:
        if new is None:
            self._is_deleted(at, old)
            return
        if old is None:
            if new["state"] not in ("pending", "running"):
                self._broken(f"a run was inserted in the middle of its life: {new}")
            self.shadow.unfinished.add(new["id"])
            self.shadow.deleted.discard(new["id"])
            life = self.shadow.lives[new["id"]] = self.shadow.lives.get(new["id"], 0) + 1
            self.shadow.runs[new["id"]] = RunShadow(new["id"], "pending", None, new["wake_at"], new["workflow"], self.world.now, life)
            if new["state"] == "running":
                self._is_claimed_as_it_is_started(at, new)
            return
        run = self.shadow.runs[new["id"]]
        if old["state"] == "failed" and new["state"] == "waiting" and run.id in at.retried:
            run.retries += 1
            run.resumptions += 1
            self.shadow.unfinished.add(run.id)
            self.world.saw("a failed run was retried")
        elif old["state"] in FINAL:
            self._broken(f"I4: run {run.id} was {old['state']} and has been changed: {old} -> {new}")
        if (old["state"], new["state"]) not in TRANSITIONS:
            self._broken(f"run {run.id} went from {old['state']} to {new['state']}")
        self._may_change_owner(at, old["owner"], new)
        if new["state"] == "waiting" and old["state"] == "running" and new["waiting_for"] is not None:
            at.parked.append(new)
            if run.inbox:
                self._broken(f"M19: run {run.id} was parked with {len(run.inbox)} signals in its inbox")
        if new["state"] == "waiting" and old["state"] == "waiting":
            run.wake_at = new["wake_at"]
        if new["state"] == "running" and old["state"] == "waiting" and old["waiting_for"] is not None:
            self.world.saw("parked and woken")
        if new["state"] in ("failed", "quarantined"):
            at.troubled.add(run.id)
        if new["state"] in FINAL or new["state"] == "quarantined":
            self.shadow.unfinished.discard(run.id)
        elif old["state"] == "paused" and new["state"] == "waiting":
            run.resumptions += 1
            self.world.saw("a paused run goes on")
        elif old["state"] == "quarantined":
            self.shadow.unfinished.add(run.id)
            run.resumptions += 1
            self.world.saw("a quarantined run was resumed")
        if new["state"] == "quarantined" and run.id not in self.quarantine_expected:
            self._is_quarantined(run)
        run.state, run.owner, run.wake_at, run.changed_at = new["state"], new["owner"], new["wake_at"], self.world.now

    def _is_claimed_as_it_is_started(self, at: Transaction, new: Row) -> None:
        """By a worker of the process that starts it, which is not known to be dead."""
        run, owner = self.shadow.runs[new["id"]], new["owner"]
        if owner not in self.shadow.workers or self.shadow.workers[owner]["state"] != "live":
            self._broken(f"I7: run {run.id} was started for {owner}, which is not alive")
        if self.shadow.hosts[owner] != at.process.label:
            self._broken(f"I7: run {run.id} was started by {at.process.label} for {owner}, which lives in {self.shadow.hosts[owner]}")
        run.state, run.owner, run.fencing = "running", owner, new["fencing"]
        run.owners.append(owner)
        at.claimed_as_started.add(run.id)
        self.world.saw("a run was claimed as it was started")

    def _may_change_owner(self, at: Transaction, before: str | None, new: Row) -> None:
        """M15: by a claim, by the owner's own checkpoint, or after its incarnation is dead."""
        after = new["owner"]
        if after == before:
            if before is not None and before != at.fence:
                self._broken(f"M15: run {new['id']} of {before} was changed by {at.process.label} as {at.fence}")
            return
        if after is not None and after != at.fence:
            self._broken(f"I7: run {new['id']} was given to {after} by {at.process.label} as {at.fence}")
        if before is not None and before != at.fence:
            if self.shadow.workers[before]["state"] != "dead":
                self._broken(f"I7: run {new['id']} was taken from {before}, which is alive, by {at.fence}")
            self.world.saw("takeover by lease")
        if after is not None:
            run = self.shadow.runs[new["id"]]
            run.owners.append(after)
            if new["fencing"] <= run.fencing:
                self._broken(f"G10: run {run.id} was claimed under {new['fencing']}, after {run.fencing}")
            run.fencing = new["fencing"]

    def _is_quarantined(self, run: RunShadow) -> None:
        rows = self._db.execute("select error from runs where id = ?", (run.id,)).fetchall()
        self._broken(f"run {run.id} was quarantined: {describe_failure(rows[0][0] or b'{}')}")

    def _is_parked_for_a_reason(self, row: Row) -> None:
        """I6: it wakes when its next timer or next try is due, in both directions; if there is none, a signal can still come."""
        run = self.shadow.runs[row["id"]]
        if run.state != "waiting":
            return
        execution = self.replays.execution(run.id)
        moments = []
        for command in execution.wanted():
            attempt = run.attempts.get(command.number)
            if attempt is None or attempt["next_at"] is None:
                self._broken(
                    f"I5: run {run.id} was parked while it wanted command {command.number} ({command.name}), which nobody will try"
                )
            else:
                moments.append(attempt["next_at"])
        deadline = execution.next_deadline()
        expected = min([*moments, *([] if deadline is None else [deadline])], default=None)
        if row["wake_at"] != expected:
            self._broken(f"I6: run {run.id} was parked until {row['wake_at']}, its next timer or try is at {expected}")
        if expected is None and not execution.waited_topics():
            self._broken(f"I5: run {run.id} was parked and waits for nothing")
        if row["issued"] != execution.issued:
            self._broken(f"M6: run {run.id} was parked with {row['issued']} commands issued, its history issues {execution.issued}")
        execution.close()

    # ── histories ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _history(self, at: Transaction, old: Row | None, new: Row | None) -> None:
        if new is None:
            assert old is not None
            if old["generation"] < self.shadow.runs[old["run_id"]].generation - 1:
                self.world.saw("a generation that was left behind was forgotten")
            else:
                at.emptied.add(old["run_id"])
            return
        if old is not None:
            self._broken(f"I1: a record was changed: {old} -> {new}")
        run = self.shadow.runs[new["run_id"]]
        self._may_open_generation(at, run, new)
        last = run.records[-1] if run.records else None
        if new["position"] != len(run.records) + 1:
            self._broken(f"I3: run {run.id}: record {new['position']} follows record {len(run.records)}")
        if last is not None and (new["at"] < last["at"] or last["kind"] in FINAL):
            self._broken(f"I3: run {run.id}: record {new['position']} ({new['kind']}) stands behind or before its predecessor {last}")
        if run.owner is None and (run.id in at.retried or new["kind"] in ("signal", "cancel", "cancelled")):
            at.written_by_nobody.add(run.id)
        elif run.owner is None or (run.owner != at.fence and run.id not in at.claimed_as_started):
            self._broken(f"I7: {at.process.label} as {at.fence} wrote a record of run {run.id}, which belongs to {run.owner}")
        run.records.append(new)
        run.changed_at = self.world.now
        if new["kind"] == "cancel":
            self.world.saw("a cancel was told")
        check = getattr(self, f"_record_{new['kind']}", None)
        if check is not None:
            check(at, run, new)

    def _may_open_generation(self, at: Transaction, run: RunShadow, new: Row) -> None:
        """M23: the last record of a generation and the first of the next are one transaction."""
        if new["generation"] == run.generation:
            return
        if new["generation"] != run.generation + 1 or run.records[-1]["kind"] != "continued" or new["kind"] != "started":
            self._broken(f"M23: run {run.id} in generation {run.generation}: {new} follows {run.records[-1]}")
        run.generation = run.key_generation = new["generation"]
        run.records = []
        at.opened.add(run.id)
        run.to_be_retried = {}
        run.steps.clear()
        run.timers.clear()
        self.world.saw("a run continued as new")

    def _record_compensated(self, at: Transaction, run: RunShadow, record: Row) -> None:
        self._record_step(at, run, record)
        self.world.saw("a saga undid a step")

    def _record_compensation_failed(self, at: Transaction, run: RunShadow, record: Row) -> None:
        self._record_step_failed(at, run, record)

    def _record_step(self, at: Transaction, run: RunShadow, record: Row) -> None:
        self._settled_once(run, record)
        result = decode(record["output"], Any, what="result")
        self.ledger.check_recorded(run.id, run.key_generation, record["command"], record["attempt"], result["serial"])
        self.bookings.was_recorded(f"as command {record['command']} of run {run.id}, life {run.life}", result)

    def _record_step_failed(self, at: Transaction, run: RunShadow, record: Row) -> None:
        self._settled_once(run, record)
        kind = describe_failure(record["error"])["type"]
        if kind.endswith("StepOutcomeUnknown"):
            self.world.saw("intent read back: StepOutcomeUnknown")
        if record["attempt"] > 1:
            self.world.saw("a step failed for good after several tries")

    def _settled_once(self, run: RunShadow, record: Row) -> None:
        if record["command"] in run.steps:
            self._broken(f"I1: run {run.id}: command {record['command']} has two outcomes")
        run.steps[record["command"]] = record

    def _record_timer(self, at: Transaction, run: RunShadow, record: Row) -> None:
        if record["command"] in run.timers:
            self._broken(f"I10: run {run.id}: timer {record['command']} fired twice")
        run.timers.add(record["command"])

    def _record_signal(self, at: Transaction, run: RunShadow, record: Row) -> None:
        if run.id in at.opened or run.id in at.retried:  # carried from the generation before
            return
        at.signals.setdefault(run.id, []).append((record["name"], record["output"]))
        run.heard.append(record)

    # ── inboxes and attempts ─────────────────────────────────────────────────────────────────────────────────────────

    def _inbox(self, at: Transaction, old: Row | None, new: Row | None) -> None:
        if new is not None and old is None:
            inbox = self.shadow.runs[new["run_id"]].inbox
            if inbox and new["number"] != max(inbox) + 1:
                self._broken(f"I8: run {new['run_id']}: signal {new['number']} arrived after {max(inbox)}")
            inbox[new["number"]] = new
        elif old is not None and new is None:
            gone = self.shadow.runs[old["run_id"]].inbox.pop(old["number"])
            at.taken.setdefault(old["run_id"], []).append((gone["topic"], gone["payload"]))
        else:
            self._broken(f"I8: a signal was changed: {old} -> {new}")

    def _signals_were_taken_once(self, at: Transaction) -> None:
        """I8: what leaves an inbox enters the history in that order, in the same transaction, and only so."""
        for run_id in at.signals.keys() | at.taken.keys():
            recorded, taken = at.signals.get(run_id, []), at.taken.get(run_id, [])
            if run_id in at.retried:
                continue
            if taken != recorded:
                self._broken(f"I8: run {run_id}: signals {taken} left the inbox, {recorded} were recorded")

    def _signal_keys(self, at: Transaction, old: Row | None, new: Row | None) -> None:
        if new is None:
            assert old is not None
            self.shadow.runs[old["run_id"]].keys.discard(old["key"])
            if not self.shadow.runs[old["run_id"]].generation:
                at.emptied.add(old["run_id"])
        elif old is not None:
            self._broken(f"I9: a key was changed or forgotten: {old} -> {new}")
        elif new["key"] in self.shadow.runs[new["run_id"]].keys:
            self._broken(f"I9: key {new['key']} was stored twice for run {new['run_id']}")
        else:
            self.shadow.runs[new["run_id"]].keys.add(new["key"])

    def _attempts(self, at: Transaction, old: Row | None, new: Row | None) -> None:
        if new is not None:
            run = self.shadow.runs[new["run_id"]]
            run.attempts[new["command"]] = new
            run.changed_at = self.world.now
        else:
            assert old is not None
            self.shadow.runs[old["run_id"]].attempts.pop(old["command"], None)

    # ── what people want of runs ─────────────────────────────────────────────────────────────────────────────────────

    def _requests(self, at: Transaction, old: Row | None, new: Row | None) -> None:
        if new is not None:
            at.wanted.add(new["run_id"])

    def _troubles(self, at: Transaction, old: Row | None, new: Row | None) -> None:
        self.troubles.changed(old, new)
        if old is not None and new is None:
            at.forgotten.append(old)

    def _nothing_is_wanted_of_the_ended(self, at: Transaction) -> None:
        for run_id in at.wanted - at.deleted:
            if self.shadow.runs[run_id].is_final and self._db.execute("select 1 from requests where run_id = ?", (run_id,)).fetchall():
                self._broken(f"G13: something is wanted of run {run_id}, which has ended")

    def _generations(self, at: Transaction, old: Row | None, new: Row | None) -> None:
        if new is None or new["run_id"] in at.opened:
            return
        run = self.shadow.runs[new["run_id"]]
        if run.state != "failed" or new["generation"] != run.generation + 1 or new["base_position"] >= len(run.records):
            self._broken(f"M24: run {run.id} is {run.state} in generation {run.generation} with {len(run.records)} records: {new}")
        at.retried.add(run.id)
        run.generation = new["generation"]
        dropped = run.records[new["base_position"] :]
        run.to_be_retried = {record["command"]: record["name"] for record in dropped if record["kind"] == "step_failed"}
        del run.records[new["base_position"] :]
        run.steps = {record["command"]: record for record in run.records if record["kind"] in OUTCOMES}
        run.timers = {record["command"] for record in run.records if record["kind"] == "timer"}

    def _is_deleted(self, at: Transaction, old: Row | None) -> None:
        assert old is not None
        if old["state"] not in FINAL:
            self._broken(f"G20: run {old['id']} was deleted though it is {old['state']}")
        elif old["id"] not in self.deletion_wanted:
            self._is_past_its_time(old)
        at.deleted.add(old["id"])
        del self.shadow.runs[old["id"]]
        self.shadow.deleted.add(old["id"])
        self.shadow.deleted_at = self.world.now
        self.ledger.forget(old["id"])
        self.world.saw("a run was deleted")

    def _is_past_its_time(self, run: Row) -> None:
        kept = self._kept.get(run["state"])
        self.world.saw("a run was deleted after its time")
        if kept is None or run["ended_at"] > self.world.wall - kept:
            self._broken(f"G20: run {run['id']} was deleted by nobody: it ended {self.world.wall - run['ended_at']} ago, kept are {kept}")

    def _nothing_is_left_of_the_deleted(self, at: Transaction) -> None:
        """I19, G20: all rows of a run, or none."""
        if at.emptied - at.deleted:
            self._broken(f"I1: records or keys of {at.emptied - at.deleted} were deleted, and the runs were not")
        for run_id in at.deleted:
            for table in ("history", "generations", "attempts", "inbox", "requests", "signal_keys", "outdated", "suspects", "troubles"):
                if self._db.execute(f"select 1 from {table} where run_id = ? limit 1", (run_id,)).fetchall():
                    self._broken(f"I19: run {run_id} was deleted and has rows in {table}")
        for run_id in at.written_by_nobody - at.retried:
            if self.shadow.runs[run_id].state != "cancelled":
                self._broken(f"I7: {at.process.label} wrote a record of run {run_id}, which belongs to nobody")
