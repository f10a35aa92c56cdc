"""One run as a JSON file and back: the format of `perdure run export`, of golden histories, and of whatever is replayed elsewhere.

The format is versioned and canonical: the same run gives the same bytes, and `read_export(write_export(history)) == history`. A field that
is missing is None. A payload is written as the JSON it is (`"output": {"amount": 5}`) where that gives back its very bytes, else in
base64 (`"output_base64": "…"`): digests are over bytes, so none may be lost.
"""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from perdure.clock import Instant, to_datetime, to_instant
from perdure.errors import NotAnExport
from perdure.model.histories import History
from perdure.model.records import Record, RecordKind
from perdure.model.runs import AttemptRow
from perdure.model.states import RunState

T = TypeVar("T")
FORMAT = "perdure.history"
VERSION = 1
"""Grows when an older perdure would misread a newer file. Fields with defaults may be added without."""

_compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_export(history: History) -> bytes:
    """The file's content. Everything the run was given and has seen is in it, its random seed included: keep it like the store."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "run": _run(history),
        "records": [_record(one) for one in history.records],
        "attempts": [_attempt(one) for one in history.attempts],
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def _run(history: History) -> dict[str, Any]:
    return {
        "id": history.run_id,
        "workflow": history.workflow,
        "state": history.state.value,
        "generation": history.generation,
        "created_at": _moment(history.created_at),
        "needs_python": history.needs_python,
        "seed": history.seed.hex(),
        "issued": history.issued,
        "reached": history.reached,
        **_given("python", history.python),
        **_payload("input", history.input),
    }


def _record(record: Record) -> dict[str, Any]:
    return {
        "position": record.position,
        "at": _moment(record.at),
        "kind": record.kind.value,
        "name": record.name,
        "attempt": record.attempt,
        **_given("command", record.command),
        **_given("digest", None if record.digest is None else record.digest.hex()),
        **_payload("input", record.input),
        **_payload("output", record.output),
        **_payload("error", record.error),
    }


def _attempt(attempt: AttemptRow) -> dict[str, Any]:
    return {
        "command": attempt.command,
        "name": attempt.name,
        "digest": attempt.digest.hex(),
        "failures": attempt.failures,
        "began_at": _moment(attempt.began_at),
        **_given("next_at", None if attempt.next_at is None else _moment(attempt.next_at)),
        **_given("intent", attempt.intent),
        **_payload("error", attempt.error),
    }


def _given(name: str, value: object) -> dict[str, Any]:
    return {} if value is None else {name: value}


def _payload(name: str, payload: bytes | None) -> dict[str, Any]:
    if payload is None:
        return {}
    value = _as_json(payload)
    return {f"{name}_base64": base64.b64encode(payload).decode()} if value is None else {name: value[0]}


def _as_json(payload: bytes) -> tuple[Any] | None:
    """The value whose compact form is these very bytes, if there is one."""
    try:
        value = json.loads(payload)
        return (value,) if _bytes_of(value) == payload else None
    except (ValueError, RecursionError):  # put back: it is written byte by byte
        return None


def _bytes_of(value: Any) -> bytes:
    return _compact(value).encode()


def _moment(instant: Instant) -> str:
    return to_datetime(instant).isoformat(timespec="microseconds").replace("+00:00", "Z")


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_export(content: bytes) -> History:
    """The history that `write_export` was given. Raises NotAnExport, which says what is wrong and where."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotAnExport(f"this is not JSON: {error}") from error
    file = Fields(document, "the file")
    if file.get("format") != FORMAT:
        raise NotAnExport(f'this is not a history that perdure exported: it has no "format": "{FORMAT}"')
    version = file.number("version")
    if not 1 <= version <= VERSION:
        raise NotAnExport(
            f"this history is of format {version}, this perdure reads up to {VERSION}; use the perdure that wrote it, or newer"
        )
    run = Fields(file.get("run"), "run")
    return History(
        run.text("id"),
        run.text("workflow"),
        run.chosen("state", RunState),
        run.number("generation"),
        run.payload("input") or b"{}",
        run.hex("seed") or b"",
        run.optional("python", run.text),
        run.get("needs_python") is True,
        run.moment("created_at"),
        run.number("issued"),
        run.number("reached"),
        tuple(_read_record(Fields(one, f"records[{index}]")) for index, one in enumerate(file.entries("records"))),
        tuple(_read_attempt(Fields(one, f"attempts[{index}]")) for index, one in enumerate(file.entries("attempts"))),
    )


def _read_record(fields: "Fields") -> Record:
    return Record(
        fields.number("position"),
        fields.moment("at"),
        fields.chosen("kind", RecordKind),
        fields.text("name"),
        fields.optional("command", fields.number),
        fields.optional("digest", fields.hex),
        fields.payload("input"),
        fields.payload("output"),
        fields.payload("error"),
        fields.number("attempt"),
    )


def _read_attempt(fields: "Fields") -> AttemptRow:
    return AttemptRow(
        fields.number("command"),
        fields.text("name"),
        fields.hex("digest"),
        fields.number("failures"),
        fields.moment("began_at"),
        fields.optional("next_at", fields.moment),
        fields.payload("error"),
        fields.optional("intent", fields.text),
    )


class Fields:
    """One object of the file. Whatever is not as it was written raises NotAnExport and names its place."""

    def __init__(self, values: object, place: str) -> None:
        if not isinstance(values, dict):
            raise NotAnExport(f"{place} must be an object, not {type(values).__name__}")
        self._values: Mapping[str, Any] = values
        self._place = place

    def get(self, name: str) -> Any:
        return self._values.get(name)

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        return None if self._values.get(name) is None else read(name)

    def text(self, name: str) -> str:
        return str(self._of(name, str))

    def number(self, name: str) -> int:
        return int(self._of(name, int))

    def entries(self, name: str) -> list[Any]:
        return list(self._of(name, list))

    def hex(self, name: str) -> bytes:
        return self._read(name, bytes.fromhex)

    def moment(self, name: str) -> Instant:
        return self._read(name, lambda text: to_instant(datetime.fromisoformat(text)))

    def chosen(self, name: str, kinds: Callable[[str], T]) -> T:
        return self._read(name, kinds)

    def payload(self, name: str) -> bytes | None:
        if name in self._values:
            try:
                return _bytes_of(self._values[name])
            except ValueError as error:
                raise self._wrong(name, f"cannot be written as JSON: {error}") from error
        coded = f"{name}_base64"
        return self._read(coded, lambda text: base64.b64decode(text, validate=True)) if coded in self._values else None

    def _of(self, name: str, kind: type) -> Any:
        value = self._values.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self._wrong(name, f"must be {kind.__name__}, not {value!r:.80}")
        return value

    def _read(self, name: str, read: Callable[[str], T]) -> T:
        text = self.text(name)
        try:
            return read(text)
        except (ValueError, OverflowError) as error:
            raise self._wrong(name, f"is {text!r:.80}: {error}") from error

    def _wrong(self, name: str, what: str) -> NotAnExport:
        return NotAnExport(f"{self._place}.{name} {what}")
