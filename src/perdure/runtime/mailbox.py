"""Signals that have entered the history, and who waits for them."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Receiver:
    topics: tuple[str, ...]
    future: asyncio.Future[Any]
    taken: tuple[int, str, bytes] | None = None


class Mailbox:
    """One queue per topic, in order of arrival; waiting receivers are served in the order in which they began to wait."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[tuple[int, str, bytes]]] = {}
        self._receivers: list[Receiver] = []
        self.receives = 0
        """How often somebody asked for a signal."""

    def deliver(self, number: int, topic: str, payload: bytes) -> None:
        """`number` is the position of the signal's record: the order of arrival."""
        signal = (number, topic, payload)
        for receiver in self._receivers:
            if topic in receiver.topics and not receiver.future.done():
                self._hand(receiver, signal)
                return
        self._queues.setdefault(topic, deque()).append(signal)

    def take(self, topics: tuple[str, ...]) -> tuple[str, bytes] | None:
        """The earliest signal of these topics that nobody has received."""
        self.receives += 1
        fullest = [self._queues[topic] for topic in topics if self._queues.get(topic)]
        if not fullest:
            return None
        _, topic, payload = min(fullest, key=lambda queue: queue[0][0]).popleft()
        return topic, payload

    def wait(self, topics: tuple[str, ...], future: asyncio.Future[Any]) -> Receiver:
        receiver = Receiver(topics, future)
        self._receivers.append(receiver)
        return receiver

    def leave(self, receiver: Receiver, was_received: bool) -> None:
        """Stop waiting. A signal handed over but not received (its receiver was cancelled) goes back to the head, or to the next."""
        if receiver in self._receivers:
            self._receivers.remove(receiver)
        if receiver.taken is None or was_received:
            return
        for other in self._receivers:
            if receiver.taken[1] in other.topics and not other.future.done():
                self._hand(other, receiver.taken)
                return
        self._queues.setdefault(receiver.taken[1], deque()).appendleft(receiver.taken)

    def waited_topics(self) -> list[tuple[str, ...]]:
        return [receiver.topics for receiver in self._receivers]

    def left(self) -> list[tuple[str, bytes]]:
        """Topics and payloads that nobody has received, in order of arrival."""
        return [(topic, payload) for _, topic, payload in sorted(signal for queue in self._queues.values() for signal in queue)]

    def _hand(self, receiver: Receiver, signal: tuple[int, str, bytes]) -> None:
        self._receivers.remove(receiver)
        receiver.taken = signal
        receiver.future.set_result((signal[1], signal[2]))
