"""The named queries of this store."""

import os

from perdure.store.queries import read_queries

FOLDER = os.path.dirname(__file__)


def named_queries(subject: str) -> dict[str, str]:
    """The statements of `subject.sql` by name."""
    return read_queries(FOLDER, subject)
