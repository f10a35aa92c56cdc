"""What the exit status says, and which error gives which."""

from enum import IntEnum

from perdure import errors


class Exit(IntEnum):
    OK = 0
    NOT_MET = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNREACHABLE = 5
    DENIED = 6
    DEFECT = 70
    TIMED_OUT = 124
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS = {
    Exit.OK: "done",
    Exit.NOT_MET: "the run failed or was cancelled, or what was checked does not hold",
    Exit.USAGE: "the command was not understood, or its input does not fit",
    Exit.NOT_FOUND: "no such run or workflow",
    Exit.CONFLICT: "the id is taken by other input, or the run has ended or stands where this cannot be done",
    Exit.UNREACHABLE: "the store is missing, does not answer or cannot be used",
    Exit.DENIED: "not permitted",
    Exit.DEFECT: "a defect in perdure",
    Exit.TIMED_OUT: "--timeout passed; nothing was changed by that",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
}
"""In the words of `--help`."""

_BY_CLASS: tuple[tuple[type[BaseException], Exit], ...] = (
    (errors.RunNotFound, Exit.NOT_FOUND),
    (errors.UnknownWorkflow, Exit.NOT_FOUND),
    (errors.RunConflict, Exit.CONFLICT),
    (errors.RunEnded, Exit.CONFLICT),
    (errors.RunNotEnded, Exit.CONFLICT),
    (errors.NotRetryable, Exit.CONFLICT),
    (errors.InboxFull, Exit.CONFLICT),
    (errors.StoreIsReadOnly, Exit.DENIED),
    (errors.StoreError, Exit.UNREACHABLE),
    (errors.BadInput, Exit.USAGE),
    (errors.EncodeError, Exit.USAGE),
    (errors.NameTaken, Exit.USAGE),
    (errors.NotAnExport, Exit.USAGE),
    (errors.PerdureError, Exit.NOT_MET),
    (TimeoutError, Exit.TIMED_OUT),
    (PermissionError, Exit.DENIED),
    (OSError, Exit.UNREACHABLE),
    (KeyboardInterrupt, Exit.INTERRUPTED),
)


def exit_of(error: BaseException) -> Exit:
    """The exit status for an error; the first class that fits decides."""
    return next((code for kind, code in _BY_CLASS if isinstance(error, kind)), Exit.DEFECT)
