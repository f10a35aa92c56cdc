"""Which tests there are, by file and name, and which of those that somebody names are missing."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache

from tests.tidy.project import ROOT, parsed


@cache
def names_in(path: str) -> frozenset[str]:
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    nodes = ast.walk(parsed(file.read_text(), path))
    return frozenset(
        node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def missing_tests(named: Iterable[str]) -> list[str]:
    """Those of `path` or `path::name[case]` that do not exist."""
    return sorted(set(missing(named)))


def missing(named: Iterable[str]) -> Iterator[str]:
    for one in named:
        path, _, name = one.partition("::")
        found = names_in(path)
        if not found or (name and name.partition("[")[0] not in found):
            yield one
