"""The file of an exported run: what is written reads back, the same run gives the same bytes, and what is no export is told so."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.clock import SECOND
from perdure.codec.exports import FORMAT, VERSION, read_export, write_export
from perdure.errors import NotAnExport
from perdure.model.histories import History
from perdure.model.records import Record, RecordKind
from perdure.model.runs import AttemptRow
from perdure.model.states import RunState

LATEST = 4_000_000_000 * SECOND
payloads = st.one_of(
    st.none(),
    st.binary(max_size=50),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ).map(lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")),
)
instants = st.integers(0, LATEST)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(0, 10**6)
records = st.builds(
    Record,
    position=numbers,
    at=instants,
    kind=st.sampled_from(RecordKind),
    name=names,
    command=st.none() | numbers,
    digest=st.none() | st.binary(max_size=12),
    input=payloads,
    output=payloads,
    error=payloads,
    attempt=numbers,
)
attempts = st.builds(
    AttemptRow,
    command=numbers,
    name=names,
    digest=st.binary(max_size=12),
    failures=numbers,
    began_at=instants,
    next_at=st.none() | instants,
    error=payloads,
    intent=st.none() | names,
)
histories = st.builds(
    History,
    run_id=names,
    workflow=names,
    state=st.sampled_from(RunState),
    generation=numbers,
    input=payloads.filter(bool),
    seed=st.binary(max_size=16),
    python=st.none() | names,
    needs_python=st.booleans(),
    created_at=instants,
    issued=numbers,
    reached=numbers,
    records=st.lists(records, max_size=4).map(tuple),
    attempts=st.lists(attempts, max_size=2).map(tuple),
)
PLAIN = History(
    "order-17",
    "fulfil",
    RunState.WAITING,
    0,
    b'{"order":17}',
    b"\x01\x02",
    "3.11",
    False,
    1_700_000_000 * SECOND,
    2,
    3,
    (
        Record(1, 1_700_000_000 * SECOND, RecordKind.STARTED, "fulfil"),
        Record(2, 1_700_000_001 * SECOND, RecordKind.STEP, "reserve", 0, b"\xab", b"{}", b'"caf\xc3\xa9"', None, 1),
        Record(3, 1_700_000_002 * SECOND, RecordKind.SIGNAL, "paid", output=b"\xff\x00"),
        Record(4, 1_700_000_003 * SECOND, RecordKind.TIMER, "", 0),
    ),
    (AttemptRow(1, "charge", b"\xcd", 2, 1_700_000_002 * SECOND, 1_700_000_009 * SECOND, b'{"type":"OSError"}', None),),
)


@given(histories)
def test_what_is_written_reads_back_and_is_written_alike_again(history: History) -> None:
    content = write_export(history)
    assert read_export(content) == history
    assert write_export(read_export(content)) == content


def test_a_file_is_readable_by_people_and_says_what_it_is() -> None:
    document = json.loads(write_export(PLAIN))
    assert (document["format"], document["version"]) == (FORMAT, VERSION)
    assert document["run"]["input"] == {"order": 17}
    assert document["records"][1]["output"] == "café"
    assert document["records"][1]["at"] == "2023-11-14T22:13:21.000000Z"
    assert document["records"][2]["output_base64"] == "/wA="
    assert document["attempts"][0]["error"] == {"type": "OSError"}


def test_bytes_that_json_would_write_otherwise_are_kept_in_base64() -> None:
    for payload in (b'{"a": 1}', b'{"a":1,"a":2}', b"1e16", b"NaN", b'"\\u00e9"', b"{}\n", b""):
        spaced = replace(PLAIN, records=(Record(1, 0, RecordKind.SIGNAL, "x", output=payload),))
        assert "output_base64" in json.loads(write_export(spaced))["records"][0]
        assert read_export(write_export(spaced)) == spaced


def test_a_file_that_was_indented_otherwise_or_put_into_another_order_is_the_same_history() -> None:
    document = json.loads(write_export(PLAIN))
    assert read_export(json.dumps(document, sort_keys=True, indent=8).encode()) == PLAIN


def test_fields_that_a_later_release_may_add_are_ignored() -> None:
    document = json.loads(write_export(PLAIN))
    document["run"]["colour"] = "blue"
    document["later"] = []
    assert read_export(json.dumps(document).encode()) == PLAIN


def changed(**paths: Any) -> bytes:
    document = json.loads(write_export(PLAIN))
    for path, value in paths.items():
        *way, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        inner = document
        for part in way:
            inner = inner[part]
        inner[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "this is not JSON"),
        (b"[" * 100_000, "this is not JSON"),
        (b"\xff\xfe", "this is not JSON"),
        (b"[]", "the file must be an object, not list"),
        (b"{}", 'no "format": "perdure.history"'),
        (changed(version=99), "format 99, this perdure reads up to 1"),
        (changed(version="1"), "the file.version must be int, not '1'"),
        (changed(version=True), "the file.version must be int, not True"),
        (changed(run=None), "run must be an object, not NoneType"),
        (changed(run__id=17), "run.id must be str, not 17"),
        (changed(run__state="asleep"), "run.state is 'asleep'"),
        (changed(run__seed="xyz"), "run.seed is 'xyz'"),
        (changed(run__created_at="yesterday"), "run.created_at is 'yesterday'"),
        (changed(run__created_at="2023-11-14T22:13:21"), "no time zone"),
        (changed(records={}), "the file.records must be list"),
        (changed(records__1=7), "records[1] must be an object, not int"),
        (changed(records__1__position=None), "records[1].position must be int, not None"),
        (changed(records__1__kind="dream"), "records[1].kind is 'dream'"),
        (changed(records__2__output_base64="%"), "records[2].output_base64 is '%'"),
        (changed(attempts__0__digest=None), "attempts[0].digest must be str"),
    ],
)
def test_what_is_no_export_is_told_with_the_place(content: bytes, said: str) -> None:
    with pytest.raises(NotAnExport) as refused:
        read_export(content)
    assert said in str(refused.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)), st.data())
def test_any_other_value_anywhere_is_refused_or_read_and_nothing_else(value: object, data: st.DataObject) -> None:
    document = json.loads(write_export(PLAIN))
    places = [document, document["run"], *document["records"], *document["attempts"]]
    place = data.draw(st.sampled_from(places))
    place[data.draw(st.sampled_from(sorted(place)))] = value
    try:
        assert isinstance(read_export(json.dumps(document).encode()), History)
    except NotAnExport:
        pass  # that is the promise


def test_every_field_of_a_history_is_in_the_file() -> None:
    """A field that is added to the model and forgotten here would be lost by an export."""
    default = read_export(changed())
    for field in fields(History):
        assert getattr(default, field.name) == getattr(PLAIN, field.name)
    assert {len(Record._fields), len(fields(AttemptRow)), len(fields(History))} == {10, 8, 13}
