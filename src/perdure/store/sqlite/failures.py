"""What an error of SQLite means for whoever asked."""

import json

import apsw

from perdure.errors import StoreError, StoreFailed, StoreIsReadOnly, StoreUnavailable

FSYNC_CODES = frozenset({apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC})

BREAKS_THE_CONNECTION = (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.NoMemError, apsw.ProtocolError, apsw.InternalError)
"""After these nothing is asked of the connection any more."""

REFUSES_DATA = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError, UnicodeError, OverflowError, TypeError)
"""The database refuses what it was given; the rest of a batch may do without it."""

DAMAGED = (UnicodeDecodeError, json.JSONDecodeError, KeyError)
"""What reading a row with a flipped bit raises."""


def says_fsync_failed(error: BaseException) -> bool:
    return isinstance(error, apsw.Error) and getattr(error, "extendedresult", 0) in FSYNC_CODES


def concerns_all(error: BaseException) -> bool:
    """Whether it is about the store, not about what one caller wanted: nobody in the transaction can be served."""
    return isinstance(error, apsw.BusyError | apsw.LockedError | apsw.FullError | apsw.IOError | apsw.ReadOnlyError | apsw.CantOpenError)


def sync_failed(error: BaseException) -> StoreFailed:
    return StoreFailed(f"the disk failed to sync ({error}): what is on it cannot be known from here; restart the process")


def meaning_of(error: Exception, path: str) -> Exception:
    """The error to raise before anything was committed: nothing has been written."""
    meaning: Exception = error
    if isinstance(error, apsw.Error):
        meaning = store_error(error, path)
    elif isinstance(error, DAMAGED):
        meaning = StoreError(f"{path}: a row is damaged and cannot be read ({type(error).__name__}: {error}); compare with a backup")
    if meaning is not error:
        meaning.__cause__ = error
    return meaning


def store_error(error: apsw.Error, path: str) -> StoreError:
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return StoreUnavailable(f"{path} is busy: another process holds its lock ({error}); nothing was written, try again")
        case apsw.FullError():
            return StoreUnavailable(f"the disk is full ({error}); nothing was written: make room under {path} and try again")
        case apsw.IOError() if says_fsync_failed(error):
            return sync_failed(error)
        case apsw.IOError() | apsw.CantOpenError() | apsw.NoMemError() | apsw.ProtocolError():
            return StoreUnavailable(f"{path} cannot be read or written now ({error}); nothing was written, try again")
        case apsw.ReadOnlyError():
            return StoreIsReadOnly(f"{path} cannot be written ({error}); give the process the right to write the file and its folder")
        case apsw.CorruptError() | apsw.NotADBError():
            return StoreFailed(f"{path} is damaged ({error}): stop all processes, keep a copy, and restore a backup")
    return StoreError(f"{path} refused this ({type(error).__name__}: {error}); nothing was written")
