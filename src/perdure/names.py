"""What is a name that people give: of a run, a workflow, a step, a topic, a key, a namespace."""

from collections.abc import Callable

from perdure.errors import BadInput
from perdure.settings import DEFAULTS

CHARACTERS_MOST = DEFAULTS.limits.id_characters


def name_of(function: Callable[..., object], given: str | None, kind: str) -> str:
    """Of a workflow or step: the one it was given, else that of its function. Raises BadInput."""
    name: object = getattr(function, "__name__", None) if given is None else given
    return checked_name(name, f"the name of {kind} {function!r}", CHARACTERS_MOST)


def checked_name(name: object, what: str, characters_most: int) -> str:
    """The name. Raises BadInput for what is no text, is empty or too long, or holds what cannot be printed."""
    if not isinstance(name, str) or not 0 < len(name) <= characters_most:
        raise BadInput(f"{what} must be a text of 1 to {characters_most} characters, not {shortened(name)}")
    if not name.isprintable():
        raise BadInput(f"{what} must be printable: {name!r}")
    return name


def checked_text(text: object, what: str) -> str:
    """Any text that can be asked for, also one that names nothing. Raises BadInput."""
    if not isinstance(text, str):
        raise BadInput(f"{what} must be a text, not {shortened(text)}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{what} is no text that can be stored: {shortened(text)}") from None
    return text


def shortened(value: object) -> str:
    return repr(value)[:50]
