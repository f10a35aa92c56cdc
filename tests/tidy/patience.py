"""Limits on real waiting: what a quiet machine does in a moment a busy one may do in half a minute, and nothing is wrong then."""

import ast
from collections.abc import Iterator

from tests.tidy.project import Source

SECONDS_LEAST = 20
ROOMS = ("tests/acceptance/", "tests/contract/", "tests/crash/", "tests/cluster/")
"""Where tests wait for what really happens."""
WAITING = {"result", "wait", "join", "communicate", "acquire"}


def waits_long_enough(source: Source) -> Iterator[str]:
    """A wait for what must come. Below a second it is one that is to end in vain."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_short(limit_of(node)):
            yield f"{source.path}:{node.lineno} waits for {limit_of(node):g} s at most: a busy machine may need {SECONDS_LEAST} and more"


def limit_of(call: ast.Call) -> float | None:
    """The seconds that a call of something that waits is given, where they are written there."""
    assert isinstance(call.func, ast.Attribute)
    is_asyncio_timeout = ast.unparse(call.func) == "asyncio.timeout"
    positional = call.args[0] if len(call.args) == 1 and (call.func.attr in WAITING or is_asyncio_timeout) else None
    given = next((one.value for one in call.keywords if one.arg == "timeout" and call.func.attr in WAITING), positional)
    return given.value if isinstance(given, ast.Constant) and type(given.value) in {int, float} else None


def is_short(seconds: float | None) -> bool:
    return seconds is not None and 1 <= seconds < SECONDS_LEAST
