"""A write-ahead log that cannot be emptied, because somebody reads in one long transaction: it is told, and again when it has doubled."""

import logging

log = logging.getLogger("perdure.store")
PAGES_TOLD = 16_384  # 64 MiB: what the file keeps anyway
PAGE_BYTES = 4096
MIB = 1024 * 1024


class Backlog:
    """Looked at after each copy of the log into the database."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._told_at = 0

    def look(self, pages: int, copied: int) -> None:
        """`copied`: how many of its pages are in the database. The rest is still read in its older form."""
        if copied >= pages:
            self._told_at = 0  # with the next commit it begins anew
        elif pages >= max(PAGES_TOLD, 2 * self._told_at):
            self._told_at = pages
            log.warning(
                "the write-ahead log of %s has grown to %d MiB and cannot be emptied: somebody reads the store in one long transaction; "
                "find the program (lsof %s) and end its transaction",
                self._path,
                pages * PAGE_BYTES // MIB,
                self._path,
            )
