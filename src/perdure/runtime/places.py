"""Which line of the user's code is asking: errors name it."""

import sysconfig
from pathlib import Path
from types import FrameType

_PERDURE = str(Path(__file__).parents[1])
_OURS = tuple(f"{_PERDURE}/{folder}/" for folder in ("authoring", "codec", "engine", "model", "runtime", "store"))
_STANDARD = tuple({f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib")})
_INSTALLED = tuple({f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib")})


def line_of(frame: FrameType | None) -> str:
    """`file:line in function` of the user's frame: the innermost that is neither perdure's nor a library's.

    Where the user's code is installed like a library, the outermost: what it calls stands further in.
    """
    first, installed = frame, None
    while frame is not None and frame.f_code.co_name != "run_until_idle":
        name = frame.f_code.co_filename
        if name.startswith(_INSTALLED):
            installed = frame if not name.startswith(_OURS) else installed
        elif not name.startswith((*_OURS, *_STANDARD, "<frozen")):
            return _describe(frame)
        frame = frame.f_back
    found = installed or first
    return _describe(found) if found is not None else "unknown line"


def _describe(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
