"""What an error of PostgreSQL means for whoever asked."""

import json

import asyncpg
from asyncpg import exceptions

from perdure.errors import StoreError, StoreIsReadOnly, StoreNotFound, StoreUnavailable

REFUSES_DATA = (
    exceptions.DataError,
    exceptions.IntegrityConstraintViolationError,
    exceptions.ProgramLimitExceededError,
    UnicodeError,
    OverflowError,
    TypeError,
)
"""What it was given is at fault; the rest of a batch may do without it."""

BEGINS_ANEW = (exceptions.SerializationError, exceptions.DeadlockDetectedError)
"""Nothing was written, and nobody is to blame: the same again will do."""

LOST = (
    OSError,  # with it TimeoutError: no answer in time
    EOFError,
    exceptions.PostgresConnectionError,
    exceptions.InterfaceError,  # the connection is closed
    exceptions.InternalClientError,
    exceptions.OperatorInterventionError,  # the server shuts down, crashed, starts, or an administrator ended this session
    exceptions.IdleInTransactionSessionTimeoutError,
)
"""Nothing is asked of the connection any more; what was under way is unknown if it was a COMMIT, and undone if not."""

NOT_NOW = (
    exceptions.InsufficientResourcesError,  # too many connections, out of memory, disk full
    exceptions.LockNotAvailableError,
    exceptions.QueryCanceledError,
    exceptions.PostgresSystemError,  # of the server's machine
)

DAMAGED = (json.JSONDecodeError, KeyError)


class DataRefused(StoreError):
    """The database, or its driver, refuses what it was given. Nothing was written."""

    code = "data_refused"


def is_lost(error: BaseException) -> bool:
    return isinstance(error, LOST) and not isinstance(error, exceptions.DataError)  # the driver's own refusals are interface errors, too


def meaning_of(error: Exception, shown: str) -> Exception:
    """The error to raise before anything was committed: nothing has been written."""
    meaning: Exception = error
    if isinstance(error, exceptions.ReadOnlySQLTransactionError):
        meaning = StoreUnavailable(f"{shown} takes no writes now (a standby, or set read-only); nothing was written, try again")
    elif is_lost(error):
        meaning = StoreUnavailable(f"{shown} does not answer ({said(error)}); nothing was written, try again")
    elif isinstance(error, NOT_NOW + BEGINS_ANEW):
        meaning = StoreUnavailable(f"{shown} cannot do it now ({said(error)}); nothing was written, try again")
    elif isinstance(error, exceptions.InsufficientPrivilegeError):
        meaning = StoreIsReadOnly(f"{shown}: the user lacks a privilege ({said(error)}); grant it, or name another user in the address")
    elif isinstance(error, exceptions.UndefinedTableError | exceptions.InvalidSchemaNameError):
        meaning = StoreNotFound(
            f"{shown}: the tables of the store are gone ({said(error)}); correct the address, or run `perdure db migrate`"
        )
    elif isinstance(error, REFUSES_DATA):
        meaning = DataRefused(f"{type(error).__name__}: {said(error)}")
    elif isinstance(error, asyncpg.PostgresError):
        meaning = StoreError(f"{shown} refused this ({type(error).__name__}: {said(error)}); nothing was written")
    elif isinstance(error, DAMAGED):
        meaning = StoreError(f"{shown}: a row is damaged and cannot be read ({type(error).__name__}: {error}); compare with a backup")
    if meaning is not error:
        meaning.__cause__ = error
    return meaning


def refusal_of(error: Exception, shown: str) -> StoreError:
    """Why no connection could be made."""
    why: StoreError
    match error:
        case exceptions.InvalidPasswordError() | exceptions.InvalidAuthorizationSpecificationError():
            why = StoreIsReadOnly(f"{shown}: the server refuses the user or the password ({said(error)}); correct them in the address")
        case exceptions.InvalidCatalogNameError():
            why = StoreNotFound(f"{shown}: there is no such database ({said(error)}); create it (createdb), or correct the address")
        case exceptions.InsufficientPrivilegeError():
            why = StoreIsReadOnly(f"{shown}: the user may not connect ({said(error)}); grant it, or name another user in the address")
        case exceptions.ProtocolViolationError() if "startup parameter" in said(error):
            why = StoreError(f"{shown}: this is a pooler ({said(error)}); add ?pgbouncer=true to the address")
        case exceptions.PostgresError() if isinstance(error, LOST + NOT_NOW):
            why = StoreUnavailable(f"{shown} takes no connections now ({said(error)}); try again")
        case exceptions.TargetServerAttributeNotMatched():
            why = StoreUnavailable(f"{shown}: the host takes no writes now (a standby); try again, or name the primary in the address")
        case TimeoutError():
            why = StoreUnavailable(
                f"{shown}: the host does not answer; check host and port in the address, and that the network lets you through"
            )
        case OSError():
            why = StoreUnavailable(f"{shown}: the host cannot be reached ({said(error)}); check host and port in the address")
        case _:
            why = StoreError(f"{shown}: no connection can be made ({type(error).__name__}: {said(error)})")
    why.__cause__ = error
    return why


def said(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
