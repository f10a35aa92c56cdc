"""PostgreSQL servers of one test: real ones, with fsync on, that are killed, stopped, copied and promoted."""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import asyncpg

from tests.server import Server, ask, free_port, unprivileged, usable_programs
from tests.waiting import wait_until

SETTINGS = {
    "fsync": "on",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "listen_addresses": "127.0.0.1",
    "wal_level": "replica",
    "max_wal_senders": "6",
    "hot_standby": "on",
    "wal_sender_timeout": "5s",
    "restart_after_crash": "on",
    "logging_collector": "off",
}
INTERRUPT_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class PostgresServer:
    """One data directory and the processes on it. `with PostgresServer() as server:` starts it and leaves nothing behind."""

    def __init__(self, *, host: str = "127.0.0.1", port: int | None = None, prefix: tuple[str, ...] = (), **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="perdure-cluster-"))
        self.folder.chmod(0o755)
        self._identity: dict[str, Any] = unprivileged(self.folder)
        self._programs = usable_programs(self.folder)
        self.data = self.folder / "data"
        self.host = host
        self.port = port or free_port()
        self.settings = SETTINGS | settings
        self._prefix = prefix
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def server(self) -> Server:
        return Server(self.host, self.port, "perdure", str(self.folder))

    def url(self, database: str = "postgres", **options: str) -> str:
        return self.server.url(database, **options)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def version(self) -> int:
        """The major one."""
        said = subprocess.run([self._program("postgres"), "--version"], capture_output=True, text=True, check=True, cwd="/")
        return int(said.stdout.split()[2].split(".")[0])

    def _program(self, name: str) -> str:
        return str(self._programs / name)

    def run(self, name: str, *arguments: str) -> None:
        """One of the programs that come with it, on this server."""
        self._run(name, "-h", str(self.folder), "-p", str(self.port), "-U", "perdure", *arguments)

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._program(name), *arguments],
            check=False,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **self._identity,
        )
        assert done.returncode == 0, f"{name}: {done.stderr}\n{self.log}"

    # ── its life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self.create()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever state it is in."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self) -> None:
        self._run("initdb", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-U", "perdure", "-D", str(self.data))
        access = self.data / "pg_hba.conf"
        access.write_text(f"{access.read_text()}\nhost all all 10.0.0.0/8 trust\nhost replication all 127.0.0.1/32 trust\n")

    def start(self, *, wait: bool = True) -> None:
        command = [*self._prefix, self._program("postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.folder)]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,  # noqa: PLW1509  one call into the kernel, which no thread can disturb
                **self._identity,
            )
        if wait:
            wait_until(lambda: self.answers or not self.lives, "the server answers", told=lambda: self.log)
            assert self.answers, self.log

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def answers(self) -> bool:
        command = [self._program("pg_isready"), "-q", "-h", str(self.folder), "-p", str(self.port)]
        return subprocess.run(command, check=False, cwd="/").returncode == 0

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def stop(self, mode: str = "fast") -> None:
        """fast ends every session; immediate leaves the clean-up to the next start."""
        if self.lives:
            assert self._process is not None
            self._process.send_signal({"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
            self._process.wait(30)

    def kill(self) -> None:
        """SIGKILL to the postmaster and to each of its children, as a power cut would; then nothing of it is left."""
        if not self.lives:
            return
        assert self._process is not None
        self.send(signal.SIGSTOP)  # so that nobody forks meanwhile
        children = self.children()
        for pid in [self.pid, *children]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(30)
        wait_until(lambda: not any(is_running(pid) for pid in children), "every backend is gone")
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Every process of it is stopped: its host is as good as gone, and nobody is told."""
        pids = [self.pid, *self.children()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    # ── asking it ────────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, statement: str, *values: Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        return ask(self.url(database), statement, *values)

    def set(self, **settings: str) -> None:
        """For every session, from now on."""
        for name, value in settings.items():
            self.ask(f"alter system set {name} = '{value}'")
        self.ask("select pg_reload_conf()")

    # ── replicas ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def standby(self, name: str, **settings: str) -> "PostgresServer":
        """A copy of it that follows it, started. `name` is what it is called in synchronous_standby_names."""
        copy = PostgresServer(**{**self.settings, **settings})
        self.wait_for_backup(copy)
        following = f"host={self.host} port={self.port} user=perdure application_name={name}"
        with (copy.data / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = '{following}'\n")
        (copy.data / "standby.signal").touch()
        copy.start()
        self.wait_for_follower(name)
        return copy

    def wait_for_backup(self, copy: "PostgresServer") -> None:
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "perdure", "-D", str(copy.data)]
        self._run("pg_basebackup", *place, "-c", "fast", "--no-sync", "-X", "stream")

    def wait_for_follower(self, name: str, state: str = "streaming") -> None:
        sql = "select 1 from pg_stat_replication where application_name = $1 and state = $2"
        wait_until(lambda: self.ask(sql, name, state), f"{name} follows", told=lambda: self.log)

    def has_caught_up_with(self, primary: "PostgresServer") -> bool:
        """Whether it has everything that the primary has now."""
        ((target,),) = primary.ask("select pg_current_wal_lsn()::text")
        return bool(self.ask("select coalesce(pg_last_wal_receive_lsn() >= $1::text::pg_lsn, false)", target)[0][0])

    def promote(self) -> None:
        self.ask("select pg_promote(true, 30)")
        wait_until(lambda: not self.is_standby, "it is the primary", told=lambda: self.log)

    @property
    def is_standby(self) -> bool:
        return bool(self.ask("select pg_is_in_recovery()")[0][0])


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def end_with_parent() -> None:
    """A test run that is killed leaves no server behind: this one is told to shut down then."""
    ctypes.CDLL(None).prctl(INTERRUPT_WITH_PARENT, signal.SIGINT)


def settle(seconds: float) -> None:
    """Let a fault last so long. Nothing is waited for, so nothing else tells when it is over."""
    select.select([], [], [], seconds)


def until_it_answers(server: PostgresServer, seconds: float = 30.0) -> float:
    """The moment (monotonic) at which the server takes a statement again."""

    def answered() -> float:
        try:
            server.ask("select 1")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return 0.0
        return time.monotonic()

    return wait_until(answered, "the server answers again", seconds, told=lambda: server.log)
