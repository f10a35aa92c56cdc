"""Errors are told in two lines: what happened, and what to do."""

import io

import pytest

from perdure import errors
from perdure.cli.complaints import Complaint, complain, told
from perdure.cli.exits import Exit


def complained(error: BaseException, *, debug: bool = False) -> tuple[Exit, list[str]]:
    out = io.StringIO()
    return complain(error, debug=debug, to=out), out.getvalue().splitlines()


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_an_error_is_two_lines_without_colours_in_a_file() -> None:
    code, lines = complained(errors.RunNotFound("no run 'x' in namespace 'default'"))

    assert code == Exit.NOT_FOUND
    assert lines[0] == "error: no run 'x' in namespace 'default'"
    assert lines[1].startswith("  → `perdure run list`")
    assert len(lines) == 2


def test_a_remedy_in_words_of_the_library_is_replaced_by_one_in_commands() -> None:
    what, remedy = told(errors.StoreNotFound("there is no store at a.db; start an Engine there"))

    assert what == "there is no store at a.db"
    assert "perdure worker" in remedy


def test_a_remedy_that_only_the_library_knows_is_kept() -> None:
    assert told(errors.StoreError("'x' is not the address of a store; use sqlite:///file.db")) == (
        "'x' is not the address of a store",
        "use sqlite:///file.db",
    )


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            errors.StoreUnavailable("the disk is full; nothing was written: make room under a.db"),
            "nothing was written: make room under a.db",
        ),
        (errors.StoreUnavailable("postgresql://host: the host cannot be reached; check host and port"), "check host and port"),
        (errors.StoreIsReadOnly("postgresql://host: the server refuses the password; correct it"), "correct it"),
        (errors.StoreUnavailable("the store is closed"), "nothing was written; try again when the store answers"),
    ],
    ids=["disk", "host", "password", "nothing said"],
)
def test_what_helps_where_a_store_cannot_be_used_is_what_that_kind_of_store_says(error: errors.StoreError, remedy: str) -> None:
    assert told(error)[1] == remedy


def test_input_that_is_quoted_in_a_message_stays_whole() -> None:
    what, _ = told(errors.BadInput("parameter text: 'one; two' is no number"))

    assert what == "parameter text: 'one; two' is no number"


@pytest.mark.parametrize("error", [errors.RunFailed("it failed"), ValueError("odd"), errors.DecodeError("odd")])
def test_there_is_always_something_to_do(error: Exception) -> None:
    assert told(error)[1]


def test_what_nobody_foresaw_is_called_a_defect() -> None:
    code, lines = complained(raised(ZeroDivisionError("division by zero")))

    assert code == Exit.DEFECT
    assert lines[0] == "error: ZeroDivisionError: division by zero"
    assert "defect in perdure" in lines[1]


def test_debug_shows_where_it_happened_before_the_two_lines() -> None:
    _, lines = complained(raised(errors.RunNotFound("no run")), debug=True)

    assert lines[0].startswith("Traceback")
    assert lines[-2] == "error: no run"


def test_a_complaint_carries_its_own_exit_status() -> None:
    code, lines = complained(Complaint("no store is named", "name one", Exit.UNREACHABLE))

    assert (code, lines) == (Exit.UNREACHABLE, ["error: no store is named", "  → name one"])
