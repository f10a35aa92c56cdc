"""Does what the code asks for match what the history holds? If not, the difference in words."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from perdure.errors import NonDeterminism
from perdure.model.records import Record
from perdure.runtime.commands import Continued, Outcome, Raised, Returned, StepCommand


def check_step(record: Record, command: StepCommand | None, issued: int, open_commands: Mapping[int, StepCommand]) -> None:
    """Raises NonDeterminism unless the recorded step is the command's. Merely changed arguments stand as recorded."""
    if command is None:
        asked = f"the code has asked for {issued} steps so far" if issued <= (record.command or 0) else "that one has been answered before"
        raise NonDeterminism(f"record {record.position} holds the outcome of step {record.name!r}, command {record.command}, but {asked}")
    if command.name != record.name:
        raise NonDeterminism(
            f"command {record.command}: the history holds step {record.name!r} (record {record.position}), "
            f"the code now asks for {command.name!r}"
        )
    if record.digest != command.digest:
        _check_order(record, command, open_commands.values())


def check_compensation(record: Record, command: StepCommand | None) -> None:
    """What is recorded as a compensation must be asked for as one: the code must still have the same to undo."""
    if command is not None and not command.is_compensation:
        raise NonDeterminism(
            f"command {record.command}: the history holds step {record.name!r} as a compensation (record {record.position}), "
            f"the code now asks for {command.name!r} as a step"
        )


def _check_order(record: Record, command: StepCommand, others: Iterable[StepCommand]) -> None:
    for other in others:
        if other.activation == command.activation and (other.name, other.digest) == (record.name, record.digest):
            raise NonDeterminism(
                f"command {record.command}: the arguments recorded for step {record.name!r} (record {record.position}) are now those "
                f"of command {other.number}; the code asks for the same steps in another order"
            )


def check_issued(stored: int, issued: int) -> None:
    """What was issued but not recorded counts, too."""
    if issued < stored:
        raise NonDeterminism(
            f"the run had asked for {stored} steps when it was last put down; the code now asks for {issued} with the same history"
        )


def check_attempt(command_number: int, name: str, command: StepCommand | None) -> None:
    """A step that was under way when the run was put down must be asked for again."""
    if command is None or command.name != name:
        now = "nothing" if command is None else repr(command.name)
        raise NonDeterminism(f"command {command_number}: step {name!r} was under way, the code now asks for {now}")


@contextmanager
def telling_the_end(outcome: Outcome | None) -> Iterator[None]:
    """A difference is easier to find where the code has ended too early if its end is told with it."""
    try:
        yield
    except NonDeterminism as error:
        if outcome is None:
            raise
        raise NonDeterminism(f"{error}; {_end_told(outcome)}") from None


def _end_told(outcome: Outcome) -> str:
    match outcome:
        case Returned():
            return "the workflow has returned by then"
        case Continued():
            return "the workflow has continued as new by then"
        case Raised(error):
            return f"the workflow has failed by then, with {type(error).__name__}: {error}"
