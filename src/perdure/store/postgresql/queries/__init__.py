"""The named queries of this store."""

import os
from functools import cache

from perdure.store.queries import read_queries

SCHEMA = "perdure"


@cache
def named_queries(subject: str, schema: str = SCHEMA) -> dict[str, str]:
    """The statements of `subject.sql` by name, on the tables of a schema."""
    return {name: in_schema(statement, schema) for name, statement in read_queries(os.path.dirname(__file__), subject).items()}


def in_schema(statement: str, schema: str) -> str:
    """Tables are written with the schema's usual name: a search path would be state of a session, which a pooler does not keep."""
    return statement.replace(f"{SCHEMA}.", f'"{schema}".')
