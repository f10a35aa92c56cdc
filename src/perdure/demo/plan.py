"""What will happen in one demo, all of it from one seed: who decides what and when, and when the worker dies."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from random import Random

from pydantic import TypeAdapter

from perdure.demo.purchasing import Decision, Outcome, PurchaseRequest

UNDECIDED = 3  # requests that nobody answers: their deadline passes
SHARE_APPROVED = 0.9  # of the requests within budget
SHARE_REPEATED = 0.25  # of the decisions: sent twice, as a nervous approver or a retrying gateway would
_APPROVERS = ("head-of-department@example.com", "controlling@example.com", "purchasing@example.com")
_REFUSALS = ("not this quarter", "please use the framework contract", "there are two of these in the store room")


@dataclass(frozen=True, slots=True)
class Planned:
    """One decision: to whom, and how long after the worker was started it is sent."""

    request: str
    decision: Decision
    after_seconds: float
    is_repeated: bool


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    shares: tuple[tuple[Planned, ...], ...]  # decisions sent in each life of the worker
    kill_after_seconds: tuple[float, ...]  # counted from when the worker is up
    outcomes: dict[str, Outcome]  # of every request, as it must come

    @property
    def undecided(self) -> frozenset[str]:
        return frozenset(request for request, outcome in self.outcomes.items() if outcome is Outcome.EXPIRED)


def load_requests() -> list[PurchaseRequest]:
    """The fifty purchase requests that come with the package."""
    return TypeAdapter(list[PurchaseRequest]).validate_json(files("perdure.demo").joinpath("purchase_requests.json").read_bytes())


def make_plan(requests: Sequence[PurchaseRequest], over_budget: frozenset[str], *, seed: int, kills: int) -> Plan:
    """Spread the decisions over the lives of the worker, one more than it is killed."""
    chance = Random(seed)
    within = [one.id for one in requests if one.id not in over_budget]
    undecided = frozenset(chance.sample(within, UNDECIDED))
    exception = chance.choice(sorted(over_budget))  # one request over budget is approved all the same
    planned = [_planned(chance, one.id, within=one.id in within, must=one.id == exception) for one in requests if one.id not in undecided]
    chance.shuffle(planned)
    lives = kills + 1
    decided = {one.request: Outcome.ORDERED if one.decision.approved else Outcome.REJECTED for one in planned}
    return Plan(
        seed,
        tuple(tuple(planned[life::lives]) for life in range(lives)),
        (chance.uniform(0, 0.25), *(chance.uniform(0.1, 0.9) for _ in range(kills - 1))),  # the first while all are new
        decided | dict.fromkeys(undecided, Outcome.EXPIRED),
    )


def _planned(chance: Random, request: str, *, within: bool, must: bool) -> Planned:
    approved = must or (within and chance.random() < SHARE_APPROVED)
    comment = "" if approved else chance.choice(_REFUSALS) if within else "over budget"
    decision = Decision(approved, chance.choice(_APPROVERS), comment)
    return Planned(request, decision, chance.uniform(0, 1), chance.random() < SHARE_REPEATED)
