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
    decided = [_decided(chance, one.id, within=one.id in within, must=one.id == exception) for one in requests if one.id not in undecided]
    chance.shuffle(decided)
    moments = (chance.uniform(0, 0.3), *(chance.uniform(0.4, 1.5) for _ in range(kills - 1)))  # the first while all are new
    lives = kills + 1
    outcomes = {request: Outcome.ORDERED if decision.approved else Outcome.REJECTED for request, decision in decided}
    return Plan(
        seed,
        tuple(_share(chance, decided[life::lives], moments[life] if life < kills else 0.7) for life in range(lives)),
        moments,
        outcomes | dict.fromkeys(undecided, Outcome.EXPIRED),
    )


def _decided(chance: Random, request: str, *, within: bool, must: bool) -> tuple[str, Decision]:
    approved = must or (within and chance.random() < SHARE_APPROVED)
    comment = "" if approved else chance.choice(_REFUSALS) if within else "over budget"
    return request, Decision(approved, chance.choice(_APPROVERS), comment)


def _share(chance: Random, decided: Sequence[tuple[str, Decision]], moment: float) -> tuple[Planned, ...]:
    """People answer in bursts: around the moment of the kill, so that some orders are under way and some decisions meet no worker."""
    return tuple(
        Planned(request, decision, max(0.0, moment + chance.uniform(-0.6, 0.2)), chance.random() < SHARE_REPEATED)
        for request, decision in decided
    )
