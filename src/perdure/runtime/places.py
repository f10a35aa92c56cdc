"""Which line of the user's code is asking: errors name it."""

import sysconfig
from pathlib import Path
from types import FrameType

_PERDURE = str(Path(__file__).parents[1])
_OURS = tuple(f"{_PERDURE}/{folder}/" for folder in ("authoring", "codec", "engine", "model", "runtime", "store"))
_LIBRARIES = tuple({f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def line_of(frame: FrameType | None) -> str:
    """`file:line in function` of the innermost frame that is neither perdure's nor a library's; else of the innermost."""
    first = frame
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((*_OURS, *_LIBRARIES, "<frozen")):
            return _describe(frame)
        frame = frame.f_back
    return _describe(first) if first is not None else "unknown line"


def _describe(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
