"""What a handle on a run shows of its records."""

from datetime import UTC, datetime

from perdure.model.records import Record, RecordKind
from perdure.run import shown

AT = 1_767_225_600_000_000  # 2026-01-01


def test_a_record_is_shown_with_its_payloads_decoded() -> None:
    record = Record(3, AT, RecordKind.STEP, "charge", 1, b"digest", b'{"order":{"id":7}}', b'[1,null,"x"]', None, 2)
    seen = shown(record)

    assert (seen.position, seen.kind, seen.name, seen.attempt) == (3, "step", "charge", 2)
    assert seen.at == datetime(2026, 1, 1, tzinfo=UTC)
    assert seen.input == {"order": {"id": 7}}
    assert seen.output == [1, None, "x"]
    assert seen.error is None


def test_a_kind_is_shown_as_plain_text() -> None:
    assert type(shown(Record(1, AT, RecordKind.STARTED)).kind) is str


def test_no_payload_and_a_payload_of_none_both_show_none() -> None:
    assert shown(Record(1, AT, RecordKind.SIGNAL, "word")).output is None
    assert shown(Record(1, AT, RecordKind.SIGNAL, "word", output=b"null")).output is None


def test_a_failure_is_shown_with_type_message_and_traceback() -> None:
    error = b'{"type":"shop.OutOfStock","message":"book","traceback":"Traceback \xe2\x80\xa6","args":null}'
    seen = shown(Record(1, AT, RecordKind.STEP_FAILED, "reserve", 0, error=error, attempt=1))
    assert seen.error == {"type": "shop.OutOfStock", "message": "book", "traceback": "Traceback …"}


def test_a_failure_that_cannot_be_read_is_shown_as_such() -> None:
    seen = shown(Record(1, AT, RecordKind.STEP_FAILED, "reserve", 0, error=b"\xff", attempt=1))
    assert seen.error is not None
    assert seen.error["message"] == "the stored failure cannot be read"
