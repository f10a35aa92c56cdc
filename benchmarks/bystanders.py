"""How busy other programs kept the machine meanwhile: on a shared one, wall times mean little without it."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
IDLE, WAITING = 3, 4  # fields of its first line that are no work


@dataclass(frozen=True, slots=True)
class Reading:
    at: float
    all_seconds: float
    own_seconds: float


def reading() -> Reading | None:
    """None where the system does not tell."""
    if not STAT.exists():
        return None
    fields = [int(field) for field in STAT.read_text().splitlines()[0].split()[1:9]]
    busy = sum(fields) - fields[IDLE] - fields[WAITING]
    own = os.times()
    spent = own.user + own.system + own.children_user + own.children_system
    return Reading(time.perf_counter(), busy / os.sysconf("SC_CLK_TCK"), spent)


def cores_taken(begin: Reading | None, end: Reading | None) -> float | None:
    """By others, on average between two readings; 1.0 is one core all the time."""
    if begin is None or end is None:
        return None
    others = end.all_seconds - begin.all_seconds - (end.own_seconds - begin.own_seconds)
    return max(0.0, others / (end.at - begin.at))
