"""The address of a PostgreSQL store, taken apart."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from perdure.errors import StoreError
from perdure.store.postgresql.queries import SCHEMA

FORM = "postgresql://user:password@host:5432/database"
OWN = frozenset({"schema", "pgbouncer", "profile"})
PROFILES = ("postgresql", "portable")
PASSED_ON = frozenset(
    [
        "host",
        "port",
        "user",
        "password",
        "database",
        "dbname",
        "passfile",
        "application_name",
        "target_session_attrs",
        "sslmode",
        "sslcert",
        "sslkey",
        "sslrootcert",
        "sslcrl",
        "sslpassword",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "krbsrvname",
        "gsslib",
    ]
)
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Address:
    """`shown` has no password; errors and logs quote it."""

    dsn: str
    """Of all hosts."""
    dsns: tuple[str, ...]
    """One for each host. Where there are several, one that takes writes is looked for."""
    shown: str
    schema: str = SCHEMA
    has_pooler: bool = False
    """Behind PgBouncer: a connection is another session for each transaction."""
    is_portable: bool = False
    """A database that only speaks PostgreSQL's protocol: nothing is asked of it that others of the kind lack."""

    @property
    def carries_hints(self) -> bool:
        return not self.has_pooler and not self.is_portable


def address_of(url: str) -> Address:
    """Raises StoreError for what is no address, or has options that nobody knows."""
    try:
        parts = urlsplit(url)
        credentials, at, hosts = parts.netloc.rpartition("@")
        each = [urlsplit(f"//{host}") for host in hosts.split(",")]
        host = ",".join(f"{one.hostname or ''}{f':{one.port}' if one.port else ''}" for one in each)
    except ValueError as error:
        raise StoreError(f"the address of the store cannot be read ({error}); use {FORM}") from error
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - OWN - PASSED_ON)
    if unknown or parts.fragment:
        raise StoreError(
            f"the address of the store has an option that is not known: {', '.join(unknown) or '#'}; "
            f"perdure's own are {', '.join(sorted(OWN))}, and those of a connection like sslmode are passed on"
        )
    schema = options.pop("schema", SCHEMA)
    if not NAME.fullmatch(schema):
        raise StoreError(f"schema={schema} is not a name for a schema; use small letters, digits and underscores")
    pooled = options.pop("pgbouncer", "false")
    if pooled not in {"true", "false"}:
        raise StoreError(f"pgbouncer={pooled} is neither true nor false")
    profile = options.pop("profile", PROFILES[0])
    if profile not in PROFILES:
        raise StoreError(f"profile={profile} is none; there are {' and '.join(PROFILES)}")
    user = f"{parts.username}@" if parts.username else ""
    shown = f"postgresql://{user}{host}{parts.path}" + (f"?schema={schema}" if schema != SCHEMA else "")
    if len(each) > 1:
        options.setdefault("target_session_attrs", "read-write")
    dsn, *dsns = (
        urlunsplit(("postgresql", credentials + at + netloc, parts.path, urlencode(options), ""))
        for netloc in (hosts, *(one.netloc for one in each))
    )
    return Address(dsn, tuple(dsns), shown, schema, pooled == "true", profile == "portable")
