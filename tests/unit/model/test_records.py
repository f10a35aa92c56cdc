"""A record's checksum sees every change; a new record knows how much room it takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.model.records import NewRecord, Record, RecordKind

payloads = st.none() | st.binary(max_size=40)
records = st.builds(
    Record,
    position=st.integers(1, 10**6),
    at=st.integers(0, 10**17),
    kind=st.sampled_from(RecordKind),
    name=st.text(max_size=10),
    command=st.none() | st.integers(0, 10**6),
    digest=payloads,
    input=payloads,
    output=payloads,
    error=payloads,
    attempt=st.integers(0, 100),
)
CHANGED = {
    "position": 7_000_001, "at": -1, "kind": RecordKind.SIGNAL, "name": "another name", "command": 7_000_001, "attempt": 101,
    "digest": b"other", "input": b"other", "output": b"other", "error": b"other",
}  # fmt: skip


@given(records, st.sampled_from(sorted(CHANGED)))
def test_f37_a_change_to_any_field_changes_the_checksum(record: Record, field: str) -> None:
    changed = record._replace(**{field: CHANGED[field]})
    assert (changed.checksum() == record.checksum()) == (changed == record)


@given(records, st.sampled_from(["digest", "input", "output", "error"]), st.data())
def test_f37_any_flipped_bit_of_a_payload_changes_the_checksum(record: Record, field: str, data: st.DataObject) -> None:
    payload = getattr(record, field)
    if not payload:
        return
    place, bit = data.draw(st.integers(0, len(payload) - 1)), data.draw(st.integers(0, 7))
    flipped = bytes(byte ^ (1 << bit if index == place else 0) for index, byte in enumerate(payload))
    assert record._replace(**{field: flipped}).checksum() != record.checksum()


def test_every_field_is_tried_above() -> None:
    assert set(Record._fields) == set(CHANGED)


@given(st.binary(max_size=99), st.none() | st.binary(max_size=99))
def test_the_size_of_a_new_record_counts_its_payloads(one: bytes, other: bytes | None) -> None:
    empty = NewRecord(RecordKind.STEP, "name").size
    assert NewRecord(RecordKind.STEP, "name", input=one, output=other).size == empty + len(one) + len(other or b"")
    assert NewRecord(RecordKind.STEP, "name", error=one).size == empty + len(one)
    assert empty > 0


def test_records_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Record(1, 0, RecordKind.STARTED).at = 5  # type: ignore[misc]
