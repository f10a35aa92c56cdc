"""Whether a failed attempt is followed by another, and when. Pure arithmetic; what it says is written to disk."""

import math
from dataclasses import dataclass
from datetime import timedelta

from perdure.clock import Duration, Instant, Microseconds, to_microseconds

FINAL_BUILTINS = (TypeError, AttributeError, NameError, LookupError, ValueError, ArithmeticError, AssertionError)


class Retry:
    """When and how often a failed step is tried again.

    Delays grow from `initial` by `factor` up to `maximum`, each changed by up to ± `jitter` of itself. It ends after `attempts`
    tries, or when the next try would begin later than `give_up_after` from the first; then the step's exception is raised in the workflow.
    Durations are a `timedelta` or seconds. Failures and the moment of the next try are on disk: a crash neither resets nor forgets them,
    and a try that was cut off by one does not count. RetryAfter, raised by a step, takes the place of the next delay.

    Final at once: exactly the built-in TypeError,
    AttributeError, NameError, LookupError, ValueError, ArithmeticError, AssertionError and their built-in subclasses, and `dont_retry`.
    Everything else, subclasses of those from libraries included, is tried again; `retry_on` overrides both lists.
    """

    __slots__ = ("_growths_most", "attempts", "dont_retry", "factor", "give_up_after", "initial", "jitter", "maximum", "retry_on")

    def __init__(
        self,
        *,
        attempts: int | None = None,
        initial: Duration = 1,
        factor: float = 2.0,
        maximum: Duration = 600,
        jitter: float = 0.1,
        give_up_after: Duration | None = timedelta(days=3),
        retry_on: tuple[type[Exception], ...] = (),
        dont_retry: tuple[type[Exception], ...] = (),
    ) -> None:
        if attempts is not None and (type(attempts) is not int or attempts < 1):
            raise ValueError(f"attempts must be a whole number of at least 1, or None for no limit, not {attempts!r}")
        if not is_number(factor) or not 1 <= factor <= 1000:
            raise ValueError(f"factor must be between 1 and 1000, not {factor!r}")
        if not is_number(jitter) or not 0 <= jitter < 1:
            raise ValueError(f"jitter must be at least 0 and below 1, not {jitter!r}")
        self.attempts = attempts
        self.initial: Microseconds = to_microseconds(initial, "initial")
        self.factor = factor
        self.maximum: Microseconds = to_microseconds(maximum, "maximum")
        self.jitter = jitter
        self.give_up_after: Microseconds | None = None if give_up_after is None else to_microseconds(give_up_after, "give_up_after")
        self.retry_on = exception_classes(retry_on, "retry_on")
        self.dont_retry = exception_classes(dont_retry, "dont_retry")
        # 64 doublings take a microsecond past the longest maximum; far beyond that a float overflows.
        self._growths_most = math.ceil(64 / math.log2(factor)) if factor > 1 else 0

    def allows(self, error: BaseException) -> bool:
        """Whether an error of this kind is worth another try."""
        if isinstance(error, self.retry_on):
            return True
        if isinstance(error, self.dont_retry) or not isinstance(error, Exception):
            return False
        return not (type(error).__module__ == "builtins" and isinstance(error, FINAL_BUILTINS))

    def delay_after(self, attempt: int, chance: float) -> Microseconds:
        """The pause after the given attempt (from 1). `chance` in [0, 1) decides the jitter."""
        growths = min(attempt - 1, self._growths_most)
        grown = self.initial * self.factor**growths
        delay = self.maximum if grown >= self.maximum else round(grown)
        return delay + round(delay * self.jitter * (2 * chance - 1))


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def exception_classes(given: object, what: str) -> tuple[type[BaseException], ...]:
    if isinstance(given, tuple | list) and all(isinstance(one, type) and issubclass(one, BaseException) for one in given):
        return tuple(given)
    raise TypeError(f"{what} must be a tuple of exception classes, not {given!r}")


@dataclass(frozen=True, slots=True)
class TryAgain:
    not_before: Instant


@dataclass(frozen=True, slots=True)
class GiveUp:
    reason: str


def after_failure(
    policy: Retry,
    attempt: int,
    error: BaseException,
    began_at: Instant,
    now: Instant,
    chance: float,
    asked_delay: Microseconds | None = None,
) -> TryAgain | GiveUp:
    """Say whether a failed attempt is followed by another, and when. `began_at` is when the first attempt began."""
    if not policy.allows(error):
        return GiveUp("errors of this kind are final")
    if policy.attempts is not None and attempt >= policy.attempts:
        return GiveUp(f"{attempt} attempts were allowed")
    delay = policy.delay_after(attempt, chance) if asked_delay is None else asked_delay
    not_before = now + delay
    if policy.give_up_after is not None and not_before > began_at + policy.give_up_after:
        return GiveUp("the next attempt would begin after give_up_after")
    return TryAgain(not_before)
