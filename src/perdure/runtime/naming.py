"""Two steps of one name cannot be told apart in a history."""

from perdure.authoring.step import Step
from perdure.errors import NameTaken


def check_name(known: dict[str, Step[..., object]], step: Step[..., object]) -> None:
    """Raises NameTaken for another step of a name that is known. The same function defined anew is the same step."""
    first = known.setdefault(step.name, step)
    if first is not step and place_of(first) != place_of(step):
        raise NameTaken(f"two steps are named {step.name!r}: {place_of(first)} and {place_of(step)}; give one a name: @step(name=…)")


def place_of(step: Step[..., object]) -> str:
    return f"{step.function.__module__}.{step.function.__qualname__}"
