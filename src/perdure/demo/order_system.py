"""The company's order system, as a process of its own: slow, often busy, and honest about idempotency keys.

    python -m perdure.demo.order_system --folder DIR --seed 7

It keeps its ledger on disk: one line for every attempt, one for every order, each there before the caller hears of it.
"""

import argparse
import contextlib
import hashlib
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

from perdure.demo.ledger import Ledger, read_ledger

LEDGER = "orders.jsonl"
SHARE_BUSY = 0.3  # of calls, answered with 503
SHARE_RETRY_AFTER = 0.2  # of those 503s: with Retry-After: 1
SHARE_AFTER_BOOKING = 0.2  # of those 503s: the order was booked, and only the answer was lost
FASTEST_SECONDS, SLOWEST_SECONDS = 0.05, 0.25
BODY_BYTES_MOST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Mood:
    """How the system takes one call: how slow it is, and whether it answers 503, before or after booking."""

    seconds: float
    is_busy: bool
    asks_to_wait: bool
    books_first: bool


def mood_for(seed: int, key: str, calls: int) -> Mood:
    """From the seed, the key and the number of calls with that key: the same in whatever order calls arrive."""
    chance = Random(f"{seed}/{key}/{calls}")
    seconds = chance.uniform(FASTEST_SECONDS, SLOWEST_SECONDS)
    is_busy = chance.random() < SHARE_BUSY
    asks_to_wait = is_busy and chance.random() < SHARE_RETRY_AFTER
    return Mood(seconds, is_busy, asks_to_wait, is_busy and not asks_to_wait and chance.random() < SHARE_AFTER_BOOKING)


class OrderBook:
    """The orders by idempotency key, and the ledger they are read from again after a crash."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._orders: dict[str, dict[str, Any]] = {}
        self._calls: dict[str, int] = {}
        for entry in read_ledger(folder / LEDGER):
            if entry["event"] == "order":
                self._orders[entry["key"]] = entry
            elif entry["event"] == "attempt":
                self._calls[entry["key"]] = self._calls.get(entry["key"], 0) + 1
        self._ledger = Ledger(folder / LEDGER, is_durable=True)

    def order(self, key: str, attempt: str, body: bytes) -> Answer:
        """Book the order, once per key; but one call in three is told to come again."""
        refusal, request = _read(key, body)
        if refusal is not None:
            return refusal
        with self._lock:
            calls = self._calls[key] = self._calls.get(key, 0) + 1
            self._ledger.append({"event": "attempt", "key": key, "request": request["id"], "attempt": attempt})
        mood = mood_for(self._seed, key, calls)
        time.sleep(mood.seconds)
        if mood.is_busy and not mood.books_first:
            return self._busy(key, request, mood)
        booked = self._book(key, request, hashlib.sha256(body).hexdigest())
        return self._busy(key, request, mood) if mood.is_busy and booked.status < 300 else booked

    def _book(self, key: str, request: dict[str, Any], digest: str) -> Answer:
        with self._lock:
            order = self._orders.get(key)
            if order is not None and order["digest"] != digest:
                return Answer(422, {"error": "this Idempotency-Key was used for another order"})
            if order is not None:
                return Answer(200, {"number": order["number"]})
            number = f"PO-{4500000 + len(self._orders) + 1}"
            order = {"event": "order", "key": key, "request": request["id"], "number": number, "digest": digest}
            self._ledger.append(order)
            self._orders[key] = order
            return Answer(201, {"number": number})

    def _busy(self, key: str, request: dict[str, Any], mood: Mood) -> Answer:
        with self._lock:
            self._ledger.append({"event": "busy", "key": key, "request": request["id"], "is_booked": key in self._orders})
        return Answer(503, {"error": "busy, try again"}, (("Retry-After", "1"),) if mood.asks_to_wait else ())


def _read(key: str, body: bytes) -> tuple[Answer | None, dict[str, Any]]:
    if not key:
        return Answer(400, {"error": "the header Idempotency-Key is missing"}), {}
    try:
        request = json.loads(body)
    except ValueError as error:
        return Answer(400, {"error": f"the body is no JSON: {error}"}), {}
    missing = {"id", "supplier", "items"} - set(request) if isinstance(request, dict) else {"an object"}
    if missing:
        return Answer(400, {"error": f"the order lacks {', '.join(sorted(missing))}"}), {}
    return None, request


# ── over HTTP ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Server(ThreadingHTTPServer):
    """One thread per call; on this machine only."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, book: OrderBook) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.book = book

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed has not waited for its answer; anything else is worth a traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """POST /orders."""

    server: Server

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/orders":
            self._answer(Answer(404, {"error": "there is only POST /orders"}))
        elif not 0 < length <= BODY_BYTES_MOST:
            self._answer(Answer(413, {"error": f"the body must have 1 to {BODY_BYTES_MOST} bytes"}))
        else:
            body = self.rfile.read(length)
            self._answer(self.server.book.order(self.headers.get("Idempotency-Key", ""), self.headers.get("Attempt", ""), body))

    def _answer(self, answer: Answer) -> None:
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in (*answer.headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The ledger says it all."""


def main() -> None:
    """Serve until standard input closes, which it does when whoever started this is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    server = Server(OrderBook(options.folder, options.seed))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is another way to end it
        sys.stdin.read()
    os._exit(0)  # answers under way are lost, as they would be in a crash


if __name__ == "__main__":
    main()
