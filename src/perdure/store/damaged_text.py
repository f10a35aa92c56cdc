"""Texts with a flipped bit, which are no UTF-8 any more: they are read as far as they can be."""


class DamagedText(str):
    """What can be read of a text that is no UTF-8. No text that was stored is equal to it by chance: what is unreadable stands as \\xff."""

    __slots__ = ("raw",)
    raw: bytes


def decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        text = DamagedText(raw.decode(errors="backslashreplace"))
        text.raw = raw
        return text


def as_text(value: object) -> str:
    """Of a column of texts. One flipped bit makes bytes of a text: its type stands before it."""
    if isinstance(value, str):
        return value
    raw = value if isinstance(value, bytes) else str(value).encode()
    text = DamagedText(raw.decode(errors="backslashreplace"))
    text.raw = raw
    return text


def raw_of(text: str | None) -> str | bytes | None:
    """To be given to `cast(? as text)`, which finds the row again."""
    return text.raw if isinstance(text, DamagedText) else text
