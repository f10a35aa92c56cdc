"""Reads the named queries of a store: `-- name: …`, a line that says what it guarantees, the statement."""

from functools import cache
from importlib.resources import files


@cache
def read_queries(package: str, subject: str) -> dict[str, str]:
    """The statements of `subject.sql` in a package by name."""
    return parsed(subject, files(package).joinpath(f"{subject}.sql").read_text(encoding="utf-8"))


def parsed(subject: str, text: str) -> dict[str, str]:
    """Raises ValueError where a query has no name of its own, no guarantee or no statement."""
    head, *parts = text.split("-- name: ")
    if head.strip():
        raise ValueError(f"{subject}.sql begins with something that has no name")
    queries: dict[str, str] = {}
    for part in parts:
        name, guarantee, statement = (*part.split("\n", 2), "", "")[:3]
        name = name.strip()
        if name in queries or not guarantee.startswith("-- ") or not statement.strip():
            raise ValueError(f"{subject}.sql: {name!r} needs a name of its own, a line that says what it guarantees, and a statement")
        queries[name] = statement.strip().removesuffix(";")
    return queries
