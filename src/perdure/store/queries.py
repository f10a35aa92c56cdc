"""Reads the named queries of a store: `-- name: …`, a line that says what it guarantees, the statement."""

import os
from functools import cache


@cache
def read_queries(folder: str, subject: str) -> dict[str, str]:
    """The statements of `subject.sql` in a folder by name."""
    # importlib.resources would load tempfile and zipfile into every command
    with open(os.path.join(folder, f"{subject}.sql"), encoding="utf-8") as file:
        return parsed(subject, file.read())


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
