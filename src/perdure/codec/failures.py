"""Exceptions to JSON and back: the original class where it is loaded and can be rebuilt from plain data, else StepFailed.

What is stored is decided once, when the exception is caught, and so is whether it is built again: later replays see the same class, or
are refused, for code that meets another one takes another way. Nothing is imported and nothing but a subclass of Exception is called to
read it back.
"""

import sys
import traceback
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from perdure.codec.natural import is_plain
from perdure.codec.plain import UNREADABLE, described, parsed
from perdure.errors import CompensationFailed, DecodeError, StepFailed

GROUPS = (ExceptionGroup, CompensationFailed)
GROUP_MOST = 20  # exceptions of one group that are kept as such
GROUP_DEPTH_MOST = 4


def encode_failure(error: BaseException, *, message_characters: int, traceback_characters: int) -> bytes:
    """The failure as JSON: type, message, traceback with its causes, and what is needed to build it again, if it is plain data.

    Never raises, whatever the exception's own methods do.
    """
    caps = (message_characters, traceback_characters)
    return to_json(failure_of(error, caps, depth=0) | {"traceback": traceback_of(error, traceback_characters)})


def failure_of(error: BaseException, caps: tuple[int, int], depth: int) -> dict[str, Any]:
    failure: dict[str, Any] = {"type": type_name(type(error)), "message": message_of(error, caps[0]), "args": None}
    if isinstance(error, ExceptionGroup) and type(error) in GROUPS and len(error.exceptions) <= GROUP_MOST and depth < GROUP_DEPTH_MOST:
        failure["group"] = [failure_of(part, caps, depth + 1) for part in error.exceptions]
        failure["args"] = [capped(clean(str(error.message)), caps[0])]
    else:
        failure.update(construction_of(error, bytes_most=4 * sum(caps)))
    return decided(failure)


def decided(failure: dict[str, Any]) -> dict[str, Any]:
    """With the word whether it is built again wherever it is read; where it is not, without what that would take."""
    if failure["args"] is None:
        return failure
    if type_name(type(rebuilt(failure, is_replay=False))) == failure["type"]:
        return failure | {"rebuilt": True}
    return {"type": failure["type"], "message": failure["message"], "args": None}


def construction_of(error: BaseException, bytes_most: int) -> dict[str, Any]:
    """The arguments and attributes that pickle would use, where they are plain JSON; else nothing."""
    try:
        kind, args, state = reduced(error)
        parts = {"args": list(args), "state": state} if state else {"args": list(args)}
        return parts if kind is type(error) and reads_back(parts, bytes_most) else {}
    except Exception:  # put back: its methods may raise anything; it is then told by its text
        return {}


def reads_back(parts: dict[str, Any], bytes_most: int) -> bool:
    """Raises ValueError for lone surrogates and numbers that are too long."""
    stored = to_json(parts) if is_plain(parts) else b""
    return 0 < len(stored) <= bytes_most and bool(from_json(stored) == parts)


def reduced(error: BaseException) -> tuple[object, tuple[Any, ...], dict[str, Any]]:
    """What pickle would call, with which arguments, and the attributes it would set then."""
    reduction: Any = error.__reduce_ex__(2)
    kind, args, *more = reduction
    return kind, args, dict(more[0]) if more and more[0] else {}


def message_of(error: BaseException, characters: int) -> str:
    try:
        return capped(clean(str(error)), characters)
    except Exception as failure:  # recorded as the message
        return f"<no message: its __str__ raised {type(failure).__qualname__}>"


def traceback_of(error: BaseException, characters: int) -> str:
    try:
        return capped(clean("".join(traceback.format_exception(error))), characters)
    except Exception as failure:  # recorded as the traceback
        return f"<no traceback: formatting it raised {type(failure).__qualname__}>"


def clean(text: str) -> str:
    """Lone surrogates are no text; they are shown as escapes."""
    return text.encode(errors="backslashreplace").decode()


def capped(text: str, characters: int) -> str:
    """Both ends of a text that is too long: the one says where it began, the other how it ended."""
    if len(text) <= characters:
        return text
    mark = f"\n… {len(text):,} characters, shortened …\n"
    half = max(0, characters - len(mark)) // 2
    return (text[:half] + mark + text[len(text) - half :])[:characters]


def type_name(kind: type) -> str:
    return clean(f"{kind.__module__}.{kind.__qualname__}")


def decode_failure(payload: bytes) -> Exception:
    """The original exception if its class is loaded already and what is built from its arguments is equal to it; else StepFailed."""
    return rebuilt(parsed(payload), is_replay=False)


def replayed_failure(payload: bytes) -> Exception:
    """What the first run saw. DecodeError where it saw the original exception and that cannot be built here."""
    return rebuilt(parsed(payload), is_replay=True)


def rebuilt(failure: Mapping[str, Any], *, is_replay: bool) -> Exception:
    """In histories from before it was decided when the exception was caught, a replay decides anew."""
    error = original(failure, is_replay)
    if error is None and is_replay and failure.get("rebuilt") is True:
        raise DecodeError(
            f"{failure['type']} cannot be built here as it was when it was recorded: its class is not loaded, or has changed; "
            "import its module where the worker starts"
        )
    return told(failure) if error is None else error


def original(failure: Mapping[str, Any], is_replay: bool) -> Exception | None:
    kind = loaded_class(str(failure.get("type")))
    args, parts = failure.get("args"), failure.get("group")
    if kind is None or not isinstance(args, list):
        return None
    if kind in GROUPS and isinstance(parts, list):
        args = [*args, [rebuilt(part if isinstance(part, dict) else UNREADABLE, is_replay=is_replay) for part in parts]]
    try:
        error = constructed(kind, args, failure.get("state") or {})
        return error if str(error) == failure["message"] else None
    except Exception:  # put back: what cannot be built again is told by its text, or refused
        return None


def told(failure: Mapping[str, Any]) -> StepFailed:
    return StepFailed(*described(failure).values())


def constructed(kind: type[Exception], args: list[Any], state: Mapping[str, Any]) -> Exception:
    """The exception as pickle would build it; raises if that is not possible or gives another one."""
    error = kind(*args)
    if state:
        error.__setstate__({name: value for name, value in state.items() if name == "__notes__" or not name.startswith("__")})
    _, args_now, state_now = reduced(error)
    if type(error) is not kind or list(args_now) != args or state_now != state:
        raise ValueError("what its arguments build is another exception")
    return error


def loaded_class(name: str) -> type[Exception] | None:
    """The class of this name in a module that is loaded; looked up in dictionaries, for `getattr` may import."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:end]))
        if found is None:
            continue
        for part in parts[end:]:
            found = getattr(found, "__dict__", {}).get(part)
        return found if isinstance(found, type) and issubclass(found, Exception) else None
    return None
