"""What commands print."""

import io
import json
from datetime import UTC, datetime, timedelta

import click
import pytest

from perdure.cli.options import Choices, Output
from perdure.cli.output import cells, fitted, print_list, print_one, shown, shown_url, table_lines

DOCUMENTS = [
    {"id": "a", "status": "completed", "note": None, "at": datetime(2026, 3, 1, 12, tzinfo=UTC)},
    {"id": "b", "status": "failed", "note": {"step": "tab\there"}, "at": None},
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_for(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output, as if somebody were looking. Not a fixture: pytest puts its own standard output in place before the test begins."""
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return out


def test_in_a_pipe_rows_are_separated_by_tabs_and_have_no_heading(capsys) -> None:
    print_list(Choices(), ["id", "status", "note", "at"], DOCUMENTS)

    assert capsys.readouterr().out.splitlines() == ["a\tcompleted\t\t2026-03-01T12:00:00Z", 'b\tfailed\t{"step": "tab\\there"}\t']


def test_on_a_terminal_there_is_a_table_with_headings_and_colours(monkeypatch) -> None:
    terminal = terminal_for(monkeypatch)
    print_list(Choices(), ["id", "status"], DOCUMENTS)

    assert click.unstyle(terminal.getvalue()).splitlines() == ["ID  STATUS", "a   completed", "b   failed"]
    assert click.style("failed", fg="red") in terminal.getvalue()


def test_no_color_is_respected(monkeypatch) -> None:
    terminal = terminal_for(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    print_list(Choices(), ["id", "status"], DOCUMENTS)

    assert "\x1b" not in terminal.getvalue()


def test_a_table_can_be_asked_for_in_a_pipe(capsys) -> None:
    print_list(Choices(output=Output.TABLE), ["id", "status"], DOCUMENTS)

    assert capsys.readouterr().out.splitlines() == ["ID  STATUS", "a   completed", "b   failed"]


def test_json_is_one_document_and_nothing_else(capsys) -> None:
    print_list(Choices(output=Output.JSON), ["id"], DOCUMENTS, whole={"runs": DOCUMENTS, "cursor": None})

    assert json.loads(capsys.readouterr().out)["runs"][1]["note"] == {"step": "tab\there"}


def test_jsonl_is_one_document_a_line(capsys) -> None:
    print_list(Choices(output=Output.JSONL), ["id"], DOCUMENTS, whole={"runs": DOCUMENTS})

    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["a", "b"]


def test_one_thing_is_shown_by_its_fields_without_the_empty_ones(capsys) -> None:
    print_one(Choices(), {"id": "a", "note": None, "waiting_for": [{"text": "signal paid"}, {"text": "a timer"}], "list": []})

    assert capsys.readouterr().out.splitlines() == ["id\ta", "waiting for\tsignal paid", "waiting for\ta timer"]


def test_json_of_one_thing_has_the_empty_fields_too(capsys) -> None:
    print_one(Choices(output=Output.JSON), {"id": "a", "note": None}, names=["id"])

    assert json.loads(capsys.readouterr().out) == {"id": "a", "note": None}


def test_stored_text_cannot_steer_the_terminal() -> None:
    assert shown("\x1b[2Jgone\r\n\u202e") == "\\x1b[2Jgone\\r\\n\\u202e"


def test_values_that_json_lacks_are_written_in_their_usual_form(capsys) -> None:
    print_one(Choices(output=Output.JSON), {"at": datetime(2026, 3, 1, tzinfo=UTC), "lasts": timedelta(minutes=1)})

    assert json.loads(capsys.readouterr().out) == {"at": "2026-03-01T00:00:00Z", "lasts": 60.0}


def test_a_table_too_wide_for_the_terminal_loses_the_ends_of_its_widest_columns() -> None:
    head, row = (click.unstyle(line) for line in table_lines(["id", "note"], [["order-17", "n" * 200]], 40))

    assert cells(row) == 40
    assert row.startswith("order-17  nnn")
    assert row.endswith("…")
    assert head == "ID        NOTE"


def test_wide_and_combining_characters_are_counted_as_a_terminal_shows_them() -> None:
    assert cells("事務") == 4
    assert cells("e\u0301") == 1
    assert fitted("事務用品", 5) == "事務…"
    assert cells(fitted("事務用品", 6)) == 6


def test_a_password_in_an_address_is_not_shown() -> None:
    assert shown_url("postgresql://app:s3cret@db/runs") == "postgresql://app:***@db/runs"
    assert shown_url("sqlite:///orders.db") == "sqlite:///orders.db"
