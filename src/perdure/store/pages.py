"""How much one checkpoint reads at most, whatever waits: so much is in memory at once, and for so long the database is held."""

from dataclasses import dataclass

from perdure.settings import Settings


@dataclass(frozen=True, slots=True)
class Pages:
    """One signal is read and one run claimed in any case, however large they are."""

    inbox_signals: int  # of one run
    inbox_bytes: int  # of all runs together
    claims: int
    claim_bytes: int


def pages_of(settings: Settings) -> Pages:
    return Pages(settings.inbox_page, settings.inbox_page_bytes, settings.claim_page, settings.claim_page_bytes)
