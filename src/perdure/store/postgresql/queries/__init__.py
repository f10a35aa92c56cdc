"""The named queries of this store.

What only PostgreSQL has stands between `/*{*/` and `/*|`; behind it, up to `}*/`, what says the same in the portable profile.
"""

import os
import re
from functools import cache

from perdure.store.queries import read_queries

SCHEMA = "perdure"
OF_POSTGRESQL = re.compile(r"/\*\{\*/.*?/\*\|(.*?)\}\*/", re.DOTALL)


@cache
def named_queries(subject: str, schema: str = SCHEMA, *, is_portable: bool = False) -> dict[str, str]:
    """The statements of `subject.sql` by name, on the tables of a schema."""
    found = read_queries(os.path.dirname(__file__), subject)
    return {name: in_schema(portable(statement) if is_portable else statement, schema) for name, statement in found.items()}


def portable(statement: str) -> str:
    return OF_POSTGRESQL.sub(lambda match: match[1].strip(), statement)


def in_schema(statement: str, schema: str) -> str:
    """Tables are written with the schema's usual name: a search path would be state of a session, which a pooler does not keep."""
    return statement.replace(f"{SCHEMA}.", f'"{schema}".')
