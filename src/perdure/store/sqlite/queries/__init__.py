"""The named queries of this store."""

from perdure.store.queries import read_queries


def named_queries(subject: str) -> dict[str, str]:
    """The statements of `subject.sql` by name."""
    return read_queries(__name__, subject)
