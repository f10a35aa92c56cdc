"""The process that plays the company's order system."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from perdure.demo.ledger import read_ledger
from perdure.demo.order_system import BODY_BYTES_MOST, LEDGER, OrderBook, mood_for
from perdure.demo.processes import OrderSystem

ORDER = {"id": "PR-1", "supplier": "Papier & Prägung OHG", "items": [{"sku": "A"}]}


@dataclass
class Response:
    status: int
    body: dict[str, str]
    retry_after: str | None


def post(url: str, body: object, key: str | None = "key-1", path: str = "/orders") -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Attempt": "1"} | ({} if key is None else {"Idempotency-Key": key})
    try:
        with urlopen(Request(url + path, data=data, headers=headers), timeout=60) as answer:
            return Response(answer.status, json.load(answer), None)
    except HTTPError as error:
        with error:
            return Response(error.code, json.load(error), error.headers.get("Retry-After"))


def order_until_booked(url: str, body: object, key: str) -> Response:
    for _ in range(50):
        answer = post(url, body, key)
        if answer.status != 503:
            return answer
    raise AssertionError("50 times busy")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[OrderSystem]:
    with OrderSystem(tmp_path, seed=3) as running:
        yield running


def entries(folder: Path, event: str) -> list[dict[str, object]]:
    return [one for one in read_ledger(folder / LEDGER) if one["event"] == event]


def test_the_same_key_gets_the_same_order(system: OrderSystem, tmp_path: Path) -> None:
    first = order_until_booked(system.url, ORDER, "key-1")
    again = order_until_booked(system.url, ORDER, "key-1")

    assert again.body == first.body
    assert [one["number"] for one in entries(tmp_path, "order")] == [first.body["number"]]


def test_two_keys_get_two_orders_for_the_same_request(system: OrderSystem, tmp_path: Path) -> None:
    numbers = {order_until_booked(system.url, ORDER, key).body["number"] for key in ("key-1", "key-2")}

    assert len(numbers) == len(entries(tmp_path, "order")) == 2


def test_many_calls_with_one_key_at_the_same_time_get_one_order(system: OrderSystem, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: order_until_booked(system.url, ORDER, "key-1"), range(8)))

    assert len({one.body["number"] for one in answers}) == len(entries(tmp_path, "order")) == 1


def test_orders_survive_the_sigkill_of_the_order_system(tmp_path: Path) -> None:
    with OrderSystem(tmp_path, seed=3) as system:
        before = order_until_booked(system.url, ORDER, "key-1")
        system.process.kill()
        system.process.wait()

    with OrderSystem(tmp_path, seed=3) as system:
        after = order_until_booked(system.url, ORDER, "key-1")
        other = order_until_booked(system.url, ORDER | {"id": "PR-2"}, "key-2")

    assert after.body == before.body
    assert other.body != before.body
    assert len(entries(tmp_path, "order")) == 2


def test_it_ends_when_whoever_started_it_is_gone(system: OrderSystem) -> None:
    assert system.process.stdin is not None
    system.process.stdin.close()
    system.process.stdin = None

    assert system.process.wait(60) == 0


def test_every_attempt_is_in_the_ledger_with_its_key_and_request(system: OrderSystem, tmp_path: Path) -> None:
    order_until_booked(system.url, ORDER, "key-1")

    attempts = entries(tmp_path, "attempt")
    assert len(attempts) == len(entries(tmp_path, "busy")) + 1
    assert {(one["key"], one["request"], one["attempt"]) for one in attempts} == {("key-1", "PR-1", "1")}


def test_a_key_used_for_another_order_is_refused(system: OrderSystem) -> None:
    order_until_booked(system.url, ORDER, "key-1")

    assert order_until_booked(system.url, ORDER | {"supplier": "another"}, "key-1").status == 422


@pytest.mark.parametrize(
    ("body", "key", "path", "status"),
    [
        (ORDER, None, "/orders", 400),
        (b"{not json", "k", "/orders", 400),
        ([1, 2], "k", "/orders", 400),
        ({"id": "PR-1"}, "k", "/orders", 400),
        (b"", "k", "/orders", 413),
        (b"x" * (BODY_BYTES_MOST + 1), "k", "/orders", 413),
        (ORDER, "k", "/elsewhere", 404),
    ],
    ids=["no key", "no JSON", "no object", "fields missing", "empty", "too long", "other path"],
)
def test_a_call_that_makes_no_sense_is_refused_with_a_reason(
    system: OrderSystem, tmp_path: Path, body: object, key: str | None, path: str, status: int
) -> None:
    answer = post(system.url, body, key, path)

    assert (answer.status, bool(answer.body["error"])) == (status, True)
    assert entries(tmp_path, "order") == []


def test_three_calls_in_ten_are_answered_with_503() -> None:
    moods = [mood_for(7, f"key-{number}", calls) for number in range(1000) for calls in (1, 2, 3)]
    busy = [one for one in moods if one.is_busy]

    assert 0.27 < len(busy) / len(moods) < 0.33
    assert any(one.asks_to_wait for one in busy)
    assert any(one.books_first for one in busy)
    assert all(0.05 <= one.seconds <= 0.25 for one in moods)


def test_how_a_call_is_taken_depends_on_the_seed_the_key_and_the_number_of_the_call_only() -> None:
    assert mood_for(7, "key-1", 2) == mood_for(7, "key-1", 2)
    assert len({mood_for(seed, key, calls) for seed in (1, 2) for key in ("a", "b") for calls in (1, 2)}) == 8


def test_an_order_may_be_booked_although_the_answer_was_503(tmp_path: Path) -> None:
    key = next(f"key-{number}" for number in range(1000) if mood_for(3, f"key-{number}", 1).books_first)
    book = OrderBook(tmp_path, seed=3)

    answer = book.order(key, "1", json.dumps(ORDER).encode())

    assert answer.status == 503
    assert [one["key"] for one in entries(tmp_path, "order")] == [key]


def test_a_restart_goes_on_counting_the_calls_of_a_key(tmp_path: Path) -> None:
    keys = [f"key-{number}" for number in range(100)]
    key = next(key for key in keys if mood_for(3, key, 1).is_busy and not mood_for(3, key, 2).is_busy)
    body = json.dumps(ORDER).encode()

    first = OrderBook(tmp_path, seed=3).order(key, "1", body)
    second = OrderBook(tmp_path, seed=3).order(key, "2", body)

    assert (first.status, second.status) == (503, 200 if mood_for(3, key, 1).books_first else 201)
