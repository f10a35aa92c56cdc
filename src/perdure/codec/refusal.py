"""Why a value cannot be stored, and where in it the reason is found."""

from enum import Enum

from perdure.errors import EncodeError, PayloadTooLarge


class Cause(Enum):
    UNSTORABLE = "unstorable"  # JSON has no form for it
    UNFIT = "unfit"  # its type hint says something else


class Refusal(Exception):
    """Carries a reason from the depth of a value to the border of the codec, where it gets its name."""

    def __init__(self, reason: str, path: str = "", cause: Cause = Cause.UNSTORABLE) -> None:
        super().__init__(reason, path, cause)
        self.reason = reason
        self.path = path
        self.cause = cause

    def below(self, path: str) -> "Refusal":
        """The same refusal seen from one level higher."""
        return Refusal(self.reason, path + self.path, self.cause)

    def told(self, what: str) -> str:
        """One sentence that begins with what was to be stored: `result of step charge: .lines[2] is …`."""
        return f"{what}: {self.path.lstrip('.') or 'the value'} {self.reason}"

    def as_encode_error(self, what: str) -> EncodeError:
        return EncodeError(self.told(what))


def path_of(*parts: object) -> str:
    """Keys, field names and indexes as they are written in Python: `.lines[2].price`."""
    return "".join(f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{shown_key(part)}]" for part in parts)


def shown_key(key: object) -> str:
    return shown(key).rpartition(" (")[0] or shown(key)


def check_size(payload: bytes, what: str, limit: int) -> None:
    if len(payload) > limit:
        raise PayloadTooLarge(
            f"{what}: {len(payload):,} bytes are above the limit of {limit:,}; store the data elsewhere and pass a reference to it"
        )


def shown(value: object) -> str:
    """A value in a message: short, with its type, whatever its repr does."""
    name = type(value).__qualname__
    try:
        text = repr(value) if not isinstance(value, int) else f"{value:.6g}" if abs(value) > 10**20 else repr(value)
    except Exception:  # a message must not fail because the value it is about is broken
        return f"an object of {name}"
    return f"{text if len(text) <= 60 else text[:57] + '…'} ({name})"


def shown_error(error: Exception) -> str:
    """Whatever its `__str__` does."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # a message must not fail because the error it is about is broken
        return type(error).__name__
