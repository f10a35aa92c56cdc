"""Gathers what a check finds, shows how far it is, and prints it in the end."""

import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import click

from perdure.cli.checking.findings import Finding, Kind
from perdure.cli.checking.jobs import Work
from perdure.cli.options import Choices, Output
from perdure.cli.output import escaped, has_colours, json_text
from perdure.settings import DEFAULTS
from perdure.store.inspection import Inspection

PROGRESS_SECONDS = 0.1
WARNINGS_ALIKE_SHOWN = 10  # of one kind and workflow
INBOX_SHARE = 0.8  # of its limit, from which on a full inbox is near


class Report:
    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._findings: list[Finding] = []
        self._replayed = 0
        self._seconds = 0.0
        self._has_replayed = False

    def add(self, finding: Finding) -> None:
        self._findings.append(finding)

    def say(self, text: str) -> None:
        if not self._choices.quiet:
            click.echo(text, err=True)

    @property
    def has_failed(self) -> bool:
        return any(one.kind.fails for one in self._findings)

    def note_store(self, work: Work, store: Inspection) -> None:
        """What can be said of the store without replaying anything."""
        for workflow, count in sorted(work.unknown.items()):
            runs = "1 unfinished run is" if count == 1 else f"{count:,} unfinished runs are"
            self.add(Finding(Kind.WORKFLOW, workflow, f"{runs} of this workflow, which is not in this app: not replayed", workflow))
        most = DEFAULTS.limits.inbox_signals
        for run_id, count in store.inboxes(round(INBOX_SHARE * most)).items():
            self.add(Finding(Kind.INBOX, run_id, f"{count:,} signals wait for it; at {most:,} its inbox is full"))

    # ── while it replays ─────────────────────────────────────────────────────────────────────────────────────────────

    def watch(self, answers: Iterable[Finding | str], total: int) -> None:
        """Take what the replays find; on a terminal, show how far they are."""
        began = shown_at = time.monotonic()
        shows = sys.stderr.isatty() and not self._choices.quiet
        for one in answers:
            if isinstance(one, Finding):
                self.add(one)
            else:
                self._replayed += 1
            if shows and time.monotonic() - shown_at > PROGRESS_SECONDS:
                shown_at = time.monotonic()
                self._show(f"replayed {self._replayed:,} of {total:,}{self._failures_told()}")
        if shows:
            self._show("")
        self._has_replayed = total > 0
        self._seconds = time.monotonic() - began

    def _show(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()

    def _failures_told(self) -> str:
        failing = self._failing_runs()
        return f", {failing:,} would not go on" if failing else ""

    def _failing_runs(self) -> int:
        return len({one.where for one in self._findings if one.kind.fails and one.kind is not Kind.CODE})

    # ── in the end ───────────────────────────────────────────────────────────────────────────────────────────────────

    def print(self) -> None:
        """What was found goes to standard output, and nothing else; the sum to standard error."""
        self._findings.sort(key=lambda one: (not one.kind.fails, "" if one.kind is Kind.CODE else one.where))
        if self._choices.output is Output.JSON:
            click.echo(json_text(self._document(), indent=2 if sys.stdout.isatty() else None))
        elif self._choices.output is Output.JSONL:
            for one in self._findings:
                click.echo(json_text(one.document()))
        elif self._choices.quiet:
            for where in dict.fromkeys(one.where for one in self._findings if one.kind.fails):
                click.echo(where)
        else:
            self._print_lines()
        self.say(self._sum())

    def _document(self) -> dict[str, Any]:
        return {
            "ok": not self.has_failed,
            "replayed": self._replayed,
            "would_not_go_on": self._failing_runs(),
            "seconds": round(self._seconds, 3),
            "findings": [one.document() for one in self._findings],
        }

    def _print_lines(self) -> None:
        is_plain = self._choices.output is not Output.TABLE and not sys.stdout.isatty()
        shown: Counter[tuple[Kind, str | None]] = Counter()
        for one in self._findings:
            shown[one.kind, one.workflow] += 1
            if not one.kind.fails and shown[one.kind, one.workflow] > WARNINGS_ALIKE_SHOWN:
                continue  # what fails is named to the last run; how many warnings are left out is told below
            if is_plain:
                click.echo("\t".join(escaped(part) for part in (one.kind.value, one.where, one.workflow or "", one.text)))
            else:
                kind = click.style(f"{one.kind.value:<9}", fg="red" if one.kind.fails else "yellow")
                click.echo(f"{kind} {escaped(one.where)}{_of(one)}\n          {escaped(one.text)}", color=has_colours())

        for (kind, workflow), count in shown.items():
            if not kind.fails and count > WARNINGS_ALIKE_SHOWN:
                self.say(f"and {count - WARNINGS_ALIKE_SHOWN:,} more warnings {kind.value!r} of workflow {workflow}; -o jsonl shows all")

    def _sum(self) -> str:
        code = sum(one.kind is Kind.CODE for one in self._findings)
        warnings = sum(not one.kind.fails for one in self._findings)
        told = [f"{code} {'line' if code == 1 else 'lines'} of workflow code would not replay"] if code else []
        if self._has_replayed:
            runs = "1 run" if self._replayed == 1 else f"{self._replayed:,} runs"
            told.append(f"{runs} replayed in {self._seconds:.1f} s{self._failures_told() or ', all would go on'}")
        if warnings:
            told.append(f"{warnings} {'warning' if warnings == 1 else 'warnings'}")
        return "; ".join(told) or "the code has no line that would not replay"


def _of(finding: Finding) -> str:
    facts = [fact for fact in (finding.workflow, finding.state) if fact and fact != finding.where]
    return f" ({', '.join(facts)})" if facts else ""
