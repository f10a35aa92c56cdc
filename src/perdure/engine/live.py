"""A run that this worker owns and holds in memory."""

import asyncio
from dataclasses import dataclass, field

from perdure.authoring.current import Info
from perdure.clock import Instant
from perdure.engine.attempt import Attempt
from perdure.engine.crumbs import crumb_of
from perdure.engine.transactional import TransactionalCall
from perdure.model.records import NewRecord
from perdure.model.runs import RunRow
from perdure.runtime.commands import StepCommand
from perdure.runtime.execution import Execution
from perdure.store.endings import Ending
from perdure.store.protocol import AttemptFailed, Intent


@dataclass(slots=True)
class Retrying:
    """A step that has failed and is waiting for its next try, or whose tries are counted while it runs."""

    failures: int
    began_at: Instant
    next_at: Instant | None = None
    timer: asyncio.TimerHandle | None = None
    is_on_disk: bool = True
    error: bytes = b""
    """Of the last try, where the store may have to be told again."""

    def begins(self) -> None:
        """The next try does, whatever said that it may."""
        self.next_at = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass(slots=True)
class AttemptNews:
    """What is to be written about a run's attempts."""

    settled: list[int] = field(default_factory=list)
    """Commands of which the store need not keep anything any more."""
    failures: list[AttemptFailed] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    calls: list[TransactionalCall] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class LiveRun:
    """What it has to write gathers here until the committer takes it. `is_mine` is the ownership token: late results look at it."""

    row: RunRow
    execution: Execution
    token: str
    since: int
    """The number of the first checkpoint that was asked for after it came, at the latest."""
    is_mine: bool = True
    is_loading: bool = True
    stands: bool = False
    """Its whole history was applied and matches. Until then what its code asks for and notes says nothing of the run."""
    is_in_flight: bool = False
    is_leaving: bool = False
    """What ends its stay is in flight: until the answer nobody knows whose it is, so no step of it begins."""
    records: list[NewRecord] = field(default_factory=list)
    attempt_news: AttemptNews | None = None
    reads_inbox: bool = False
    ending: Ending | None = None
    stored_note: bytes | None = None
    attempts: dict[int, Attempt] = field(default_factory=dict)
    retrying: dict[int, Retrying] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None
    timer_at: Instant | None = None
    idle_until: float | None = None
    """On the loop's clock."""
    refusals: int = 0
    strikes: int = 0
    is_warned: bool = False
    held: list[StepCommand] | None = None
    """It is to be paused: these steps do not begin, and it leaves when those under way have ended."""
    released: list[StepCommand] | None = None
    """It is not to be paused after all: these may begin."""
    crumb: bytes = b""

    def __post_init__(self) -> None:
        self.crumb = crumb_of(self.row.id)

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def has_news(self) -> bool:
        """Whether there is anything to write or to read for it."""
        if self.records or self.attempt_news or self.reads_inbox or self.ending:
            return True
        return self.stands and self.execution.note != self.stored_note

    def info(self, namespace: str, attempt: Attempt) -> Info:
        """What the body of this attempt is told."""
        key = f"{namespace}/{self.id}/{self.row.key_generation}/{attempt.command.number}"
        return Info(self.id, self.row.workflow, attempt.command.name, attempt.number, key, self.token)

    def about_attempts(self) -> AttemptNews:
        """Made when there is something to say: most steps succeed at once."""
        if self.attempt_news is None:
            self.attempt_news = AttemptNews()
        return self.attempt_news

    @property
    def is_pausing(self) -> bool:
        return self.held is not None

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that will write."""
        return self.is_loading or self.is_in_flight or self.has_news or bool(self.attempts)

    @property
    def has_work(self) -> bool:
        """Whether it asks for a step that could begin now: then it does not only wait."""
        return any(one.number not in self.retrying or self.retrying[one.number].next_at is None for one in self.execution.wanted())

    def next_moment(self) -> Instant | None:
        """When it must be looked at again, if nothing else happens: its next timer or next try of a step."""
        moments = [one.next_at for one in self.retrying.values() if one.next_at is not None]
        deadline = self.execution.next_deadline()
        if deadline is not None:
            moments.append(deadline)
        return min(moments, default=None)

    def let_go(self) -> None:
        """Nothing that is still under way for it may be recorded from now on."""
        self.is_mine = False
        if self.timer is not None:
            self.timer.cancel()
        for retrying in self.retrying.values():
            if retrying.timer is not None:
                retrying.timer.cancel()
        for attempt in list(self.attempts.values()):
            attempt.abandon()
        if self.execution.outcome is None:  # else it was closed when it ended
            self.execution.close()
