"""`make bench`: runs the scenarios, each in a process of its own and several times, and prints medians beside targets and floors."""

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from bystanders import cores_taken, reading
from figures import Figure, Repeated, as_json, repeated
from machine import facts
from measuring import Bench, default_folder
from report import print_facts, print_figures

from perdure.cli.collector import tune_collector

Scenario = Callable[[Bench], Awaitable[list[Figure]]]

SCENARIOS = {
    "steps": "throughput:many_steps",
    "runs": "throughput:many_runs",
    "alone": "latency:alone",
    "waiting": "waiting:wait_for_a_day",
    "recovery": "recovery:recover",
    "timers": "timers:many_timers",
    "lone-timer": "timers:lone_timers",
    "signals": "wakeups:many_signals",
    "wake-up": "wakeups:lone_signals",
    "replay": "replaying:replay",
    "check": "checking:check",
}
"""Name -> where it is: module and function."""

ON_POSTGRESQL = ("steps", "runs", "alone", "signals", "wake-up")
"""What is measured there, too: on a server of its own for each scenario, `fsync=on`."""

QUICK = 0.1


def main() -> int:
    options = parse()
    if options.child:
        print(json.dumps(measure(options)))
        return 0
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.folder) as folder:
        known = facts(Path(folder), options.on) | {
            "collector": "as Python sets it" if options.plain_collector else "as `perdure worker` sets it"
        }
    if options.output == "table":
        print_facts(known)
    results: list[Repeated] = []
    others: dict[str, float | None] = {}
    for name in options.scenarios:
        begin = reading()
        found = repeated([in_a_process(name, options) for _ in range(options.repeat)])
        others[name] = cores_taken(begin, reading())
        results += found
        if options.output == "table":
            print_figures(found, others[name], with_head=len(results) == len(found))
    if options.output == "json":
        told = {
            "machine": known,
            "repetitions": options.repeat,
            "cores_taken_by_others": others,
            "figures": [as_json(one) for one in results],
        }
        print(json.dumps(told, indent=2))
    return 1 if any(one.figure.is_met is False for one in results) and options.strict else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"one or more of {', '.join(SCENARIOS)}; all without")
    parser.add_argument("--on", choices=["sqlite", "postgresql"], default="sqlite", help="the store; without scenarios all that it has")
    parser.add_argument("--quick", action="store_true", help="a tenth of the counts, once")
    parser.add_argument("--repeat", type=int, metavar="N", help="how often each scenario runs (3)")
    parser.add_argument("--folder", type=Path, default=default_folder(), help=f"on the disk to measure ({default_folder()})")
    parser.add_argument("--plain-collector", action="store_true", help="with the garbage collector as Python sets it")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 when a target is missed")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    known = SCENARIOS if options.on == "sqlite" else ON_POSTGRESQL
    options.scenarios = options.scenarios or list(known)
    if unknown := set(options.scenarios) - set(known):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))} on {options.on}; there are {', '.join(known)}")
    options.repeat = options.repeat or (1 if options.quick else 3)
    return options


def in_a_process(name: str, options: argparse.Namespace) -> list[Figure]:
    """So that no scenario finds the memory, the caches or the garbage of another."""
    command = [sys.executable, __file__, name, "--child", "--folder", str(options.folder), "--on", options.on] + ["--quick"] * options.quick
    command += ["--plain-collector"] * options.plain_collector
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Figure(**figure) for figure in json.loads(answer)]


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    logging.disable(logging.WARNING)  # killed workers are announced; here that is meant
    module, function = SCENARIOS[options.scenarios[0]].split(":")
    scenario: Scenario = getattr(import_module(module), function)
    if not options.plain_collector:
        tune_collector()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.folder) as folder:
        bench = Bench(Path(folder).resolve(), QUICK if options.quick else 1.0)
        if options.on == "sqlite":
            return [asdict(figure) for figure in asyncio.run(in_loop(scenario, bench))]
        from on_postgresql import server

        with server(options.folder) as url:
            return [asdict(figure) for figure in asyncio.run(in_loop(scenario, replace(bench, server=url)))]


async def in_loop(scenario: Scenario, bench: Bench) -> list[Figure]:
    return await scenario(bench)


if __name__ == "__main__":
    sys.exit(main())
