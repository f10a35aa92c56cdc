"""The demo's ledgers."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from perdure.demo.ledger import Ledger, read_ledger


def test_entries_come_back_in_order_with_the_time_they_were_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", is_durable=True)
    ledger.append({"event": "first"})
    ledger.append({"event": "zweite, 事務"})
    ledger.close()

    entries = read_ledger(tmp_path / "ledger.jsonl")

    assert [one["event"] for one in entries] == ["first", "zweite, 事務"]
    assert entries[0]["at"] <= entries[1]["at"]


def test_a_line_that_was_cut_off_is_as_if_it_had_never_been_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"event": "whole"}\n{"event": "ha')

    assert read_ledger(path) == [{"event": "whole"}]


def test_a_ledger_that_was_never_begun_is_empty(tmp_path: Path) -> None:
    assert read_ledger(tmp_path / "none.jsonl") == []


def test_entries_from_many_threads_stay_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", is_durable=False)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: ledger.append({"number": number, "padding": "x" * 500}), range(400)))
    ledger.close()

    assert sorted(one["number"] for one in read_ledger(tmp_path / "ledger.jsonl")) == list(range(400))
