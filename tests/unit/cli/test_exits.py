"""Exit statuses are part of the interface: scripts rely on them."""

import pytest

from perdure import errors
from perdure.cli.exits import MEANINGS, Exit, exit_of

EXPECTED = {
    errors.RunFailed: 1,
    errors.RunCancelled: 1,
    errors.BadInput: 2,
    errors.EncodeError: 2,
    errors.PayloadTooLarge: 2,
    errors.NameTaken: 2,
    errors.RunNotFound: 3,
    errors.UnknownWorkflow: 3,
    errors.RunConflict: 4,
    errors.RunEnded: 4,
    errors.NotRetryable: 4,
    errors.InboxFull: 4,
    errors.StoreError: 5,
    errors.StoreNotFound: 5,
    errors.NotAStore: 5,
    errors.SchemaTooNew: 5,
    errors.SchemaTooOld: 5,
    errors.UnsafeFileSystem: 5,
    errors.StoreUnavailable: 5,
    errors.StoreFailed: 5,
    errors.StoreIsReadOnly: 6,
    PermissionError: 6,
    ConnectionRefusedError: 5,
    TimeoutError: 124,
    KeyboardInterrupt: 130,
    ZeroDivisionError: 70,
}


@pytest.mark.parametrize(("kind", "status"), EXPECTED.items(), ids=lambda one: getattr(one, "__name__", str(one)))
def test_an_error_has_its_exit_status(kind: type[BaseException], status: int) -> None:
    assert exit_of(kind("what happened")) == status


def test_the_numbers_are_those_that_are_documented() -> None:
    assert {one.name: one.value for one in Exit} == {
        "OK": 0, "NOT_MET": 1, "USAGE": 2, "NOT_FOUND": 3, "CONFLICT": 4, "UNREACHABLE": 5, "DENIED": 6,
        "DEFECT": 70, "TIMED_OUT": 124, "INTERRUPTED": 130, "BROKEN_PIPE": 141,
    }  # fmt: skip


def test_every_status_but_that_of_a_broken_pipe_has_a_meaning_for_help() -> None:
    assert MEANINGS.keys() == set(Exit) - {Exit.BROKEN_PIPE}  # whoever could read that one has gone
