"""Plays many seeds, sees that what must happen sometimes did, and says how to play a failing one again."""

import argparse
import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation.corpus import COVER, FOUND
from tests.simulation.scenario import Folder, Report, simulate
from tests.simulation.swarm import FAULTS, swarm_of

SOMETIMES = (
    "a stale commit was refused",
    "an unknown commit was adopted",
    "an unknown commit was retried",
    "a hint was lost but the sweep woke",
    "a run was claimed as it was started",
    "parked and woken",
    "takeover by lease",
    "intent read back: StepOutcomeUnknown",
    "the database refused a row",
    "a step ran again after its worker had gone",
    "killed between COMMIT and its reply",
    "killed before COMMIT",
    "a signal was repeated",
    "a signal came after the end",
    "an inbox was full",
    "a step failed for good after several tries",
    "the disk failed to sync",
    "a cancel was told",
    "a run was paused",
    "a paused run goes on",
    "a failed run was retried",
    "a run was deleted",
    "a run was deleted after its time",
    "a run continued as new",
    "a saga undid a step",
    "a transactional step was recorded",
    "a transactional step was performed again",
    "a transactional step ended its transaction",
    "somebody was told of a run in trouble",
    "a stranded run was noted",
    "somebody cancelled a task",
)


@dataclass(slots=True)
class Campaign:
    """Many seeds, one after the other."""

    folder: Folder
    without: frozenset[str] = frozenset()
    runs_most: int | None = None
    is_traced: bool = False
    played: int = 0
    events: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    def play(self, seed: int, *, twice: bool = False) -> Report:
        swarm = swarm_of(seed, without=self.without, runs_most=self.runs_most)
        report = simulate(swarm, self.folder, is_traced=self.is_traced)
        self.played += 1
        self.events += report.events
        self.happened.update(report.happened)
        if twice and report.violation is None:
            again = simulate(swarm, self.folder)
            if (again.digest, again.events) != (report.digest, report.events):
                raise AssertionError(f"seed {seed} did not happen the same way twice: {report.events} and {again.events} events")
        return report

    def command(self, seed: int) -> str:
        options = [f"--seed {seed}"]
        if self.without:
            options.append(f"--without {','.join(sorted(self.without))}")
        if self.runs_most is not None:
            options.append(f"--runs {self.runs_most}")
        return f"PYTHONHASHSEED={os.environ.get('PYTHONHASHSEED', '0')} python -m tests.simulation {' '.join(options)} --trace"

    def never_happened(self) -> list[str]:
        return [what for what in SOMETIMES if not self.happened[what]]


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    if os.environ.get("PYTHONHASHSEED", "random") == "random":  # sets of texts would be iterated in another order each time
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *arguments])
    folder = Folder()
    try:
        campaign = Campaign(folder, options.without, options.runs, options.trace)
        failures = played(options, campaign)
        return told(options, campaign, failures)
    finally:
        folder.close()


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the seed, or the first of several")
    parser.add_argument("--seeds", type=int, help="how many")
    parser.add_argument("--seconds", type=float, help="as many as fit into this time")
    parser.add_argument("--corpus", action="store_true", help="the seeds kept in corpus.py")
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    parser.add_argument("--twice", type=int, default=10, help="play every so manieth seed twice and compare; 0 for none")
    parser.add_argument("--without", type=fault_names, default=frozenset(), help=f"leave faults out: {','.join(FAULTS)}")
    parser.add_argument("--runs", type=int, help="at most so many runs")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failing seed")
    parser.add_argument("--sometimes", action="store_true", help="fail if something that must happen sometimes never did")
    return parser.parse_args(arguments)


def fault_names(text: str) -> frozenset[str]:
    names = frozenset(text.split(",")) if text else frozenset()
    if not names <= set(FAULTS):
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(sorted(names - set(FAULTS)))}")
    return names


def seeds_of(options: argparse.Namespace) -> Iterator[int]:
    if options.corpus:
        yield from (*FOUND, *COVER)
    elif options.seconds is not None:
        end = time.monotonic() + options.seconds
        yield from itertools.takewhile(lambda _: time.monotonic() < end, itertools.count(options.seed))
    else:
        yield from range(options.seed, options.seed + (options.seeds or 1))


def played(options: argparse.Namespace, campaign: Campaign) -> int:
    """How many seeds failed."""
    failures = 0
    for seed in seeds_of(options):
        report = campaign.play(seed, twice=options.twice > 0 and seed % options.twice == 0 and not options.trace)
        if report.violation is not None:
            failures += 1
            print(f"seed {seed}: {report.violation}\n  {campaign.command(seed)}", flush=True)
            if not options.keep_going:
                break
    return failures


def told(options: argparse.Namespace, campaign: Campaign, failures: int) -> int:
    """The exit status."""
    seconds = time.monotonic() - campaign.began
    speed = f"{campaign.played / seconds * 60:.0f} a minute, {campaign.events / seconds:,.0f} events/s"
    print(f"{campaign.played} seeds in {seconds:.1f} s ({speed}), {failures} failed")
    for what, count in sorted(campaign.happened.items()):
        print(f"  {count:8,} {what}")
    if options.sometimes and campaign.never_happened():
        print(f"never happened: {', '.join(campaign.never_happened())}")
        return 1
    return 1 if failures else 0
