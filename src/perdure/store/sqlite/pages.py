"""How much one checkpoint reads at most, whatever waits: so much is in memory at once, and for so long the database is held."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pages:
    """One signal is read and one run claimed in any case, however large they are."""

    inbox_signals: int  # of one run
    inbox_bytes: int  # of all runs together
    claims: int
    claim_bytes: int
