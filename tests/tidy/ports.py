"""Which code reaches the clock, randomness and background tasks only through ports passed in, and the exceptions with their reasons."""

import ast
import re
from collections.abc import Iterator

from tests.tidy.project import Source
from tests.tidy.rules import outside_names

ROOMS = tuple(f"src/perdure/{room}/" for room in ("engine", "runtime", "store", "codec", "model"))

ONLY_THROUGH_PORTS = re.compile(
    r"""  time\.\w+
        | datetime\.datetime\.(now|utcnow|today) | datetime\.date\.today
        | random\.(?!Random$)\w+ | secrets\.\w+ | uuid\.uuid[14] | os\.(urandom|getrandom)
        | asyncio\.(sleep|create_task|ensure_future)
    """,
    re.VERBOSE,
)

ALLOWED: dict[tuple[str, str], str] = {
    ("src/perdure/engine/patience.py", "asyncio.sleep"): "the one place where the engine pauses; on a virtual loop its time is virtual",
    (
        "src/perdure/store/sqlite/calls.py",
        "time.monotonic",
    ): "a limit on code that really executes, on a real thread, however time goes elsewhere",
    (
        "src/perdure/store/postgresql/hosts.py",
        "asyncio.ensure_future",
    ): "asks several servers at once, on the loop that its connections are bound to",
    ("src/perdure/store/postgresql/connections.py", "asyncio.sleep"): "waits for a server, on the loop that its connections are bound to",
    ("src/perdure/runtime/tasks.py", "asyncio.ensure_future"): "compared with the calling frame, to see who makes a task; never called",
}
"""(path, name) and the reason. An entry that is not needed any more fails the tests."""


def reaches_past_the_ports(source: Source) -> Iterator[tuple[int, str]]:
    """Lines and names."""
    calls_without_arguments = {node.func for node in ast.walk(source.tree) if isinstance(node, ast.Call) and not node.args}
    for node, name in outside_names(source.tree):
        unseeded = name == "random.Random" and node in calls_without_arguments
        if unseeded or ONLY_THROUGH_PORTS.fullmatch(name):
            yield node.lineno, name


def waits_with_wait_for(source: Source) -> Iterator[str]:
    """`asyncio.wait_for` may swallow a cancellation, or lose the result that arrives with it; `asyncio.timeout` does neither."""
    for node, name in outside_names(source.tree):
        if name == "asyncio.wait_for":
            yield f"{source.path}:{node.lineno} uses asyncio.wait_for; use asyncio.timeout"
