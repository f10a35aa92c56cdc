"""How a thread waits for what it is asked, and meanwhile notices what other processes write."""

from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from perdure.store.sqlite.ear import Ear
from perdure.store.sqlite.transactions import Transactions

T = TypeVar("T")

POLL_SECONDS = 0.012  # how often a thread looks that hears nothing: 0.9 % of a core
QUICK_POLL_SECONDS = 0.003
QUICK_POLLS = 60  # after something was written, by us or others: more often comes soon
LISTEN_SECONDS = 0.25  # how often one looks that would hear of it
HEARD_POLL_SECONDS = 0.0005
HEARD_POLLS = 10  # after something was heard: what is being written is not committed yet


class Vigil(Generic[T]):
    """A queue whose reader looks for what others wrote whenever it waits. `put` comes from any thread, all else from the reader's.

    Once writes were heard it looks only after it has heard one, and now and then; elsewhere it looks again and again.
    """

    def __init__(self, transactions: Transactions, wal: str) -> None:
        self._transactions = transactions
        self._wal = wal
        self._items: SimpleQueue[T] = SimpleQueue()
        self._quick_polls_left = self._heard_polls_left = 0
        self._ear: Ear | None = None
        self._is_deaf = False

    def put(self, item: T) -> None:
        self._items.put(item)
        ear = self._ear
        if ear is not None:
            ear.wake()

    def next(self) -> T | None:
        """None where it was time to look for what others wrote, and was looked for."""
        try:
            item = self._awaited()
        except Empty:
            self._transactions.look_for_others()
            return None
        self._quick_polls_left = QUICK_POLLS
        return item

    def noticed(self, *, are_others: bool) -> None:
        """Somebody wrote; where it was only this process, on another connection, nothing more is to be expected."""
        self._heard_polls_left = 0
        self._quick_polls_left = QUICK_POLLS if are_others else 0

    def close(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.close()

    def _awaited(self) -> T:
        if not self._transactions.watches:
            return self._items.get()
        if self._ear is None and not self._is_deaf:
            self._ear = Ear.of(self._wal)
            self._is_deaf = self._ear is None
        if self._heard_polls_left > 0:
            self._heard_polls_left -= 1
            return self._items.get(timeout=HEARD_POLL_SECONDS)
        if self._quick_polls_left > 0:
            self._quick_polls_left -= 1
            return self._items.get(timeout=QUICK_POLL_SECONDS)
        if self._ear is None or not self._ear.prove():
            return self._items.get(timeout=POLL_SECONDS)
        return self._listen(self._ear)

    def _listen(self, ear: Ear) -> T:
        if not ear.forget():
            self.close()
            raise Empty
        self._transactions.look_for_others()  # only now: what is written from here on is heard
        if not self._transactions.others_wrote and ear.listen(LISTEN_SECONDS, lambda: not self._items.empty()):
            self._heard_polls_left, self._quick_polls_left = HEARD_POLLS, QUICK_POLLS
        return self._items.get_nowait()
