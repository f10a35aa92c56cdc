"""PgBouncer in transaction mode before a server: a real one, where it is installed."""

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from tests.cluster.servers import PostgresServer, end_with_parent
from tests.server import free_port, unprivileged
from tests.waiting import wait_until

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
CONFIGURATION = """
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 200
server_login_retry = 1
logfile = {folder}/log
pidfile = {folder}/pid
"""


class Pooler:
    """`with Pooler(server) as pooler:`; many clients share a few sessions of the server."""

    def __init__(self, server: PostgresServer, pool: int = 4) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="perdure-pooler-"))
        self.folder.chmod(0o755)
        self._identity: dict[str, Any] = unprivileged(self.folder)
        self._server = server
        self.port = free_port()
        (self.folder / "users").write_text('"perdure" ""\n')
        text = CONFIGURATION.format(host=server.host, server_port=server.port, port=self.port, folder=self.folder, pool=pool)
        (self.folder / "ini").write_text(text.replace("* = host", "postgres = user=perdure host"))
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, schema: str) -> str:
        return f"postgresql://perdure@127.0.0.1:{self.port}/postgres?pgbouncer=true&schema={schema}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, "-q", str(self.folder / "ini")],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=end_with_parent,  # noqa: PLW1509  one call into the kernel, which no thread can disturb
            **self._identity,
        )
        wait_until(self._answers, "the pooler answers", told=self.said)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def _answers(self) -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", self.port)) == 0

    def said(self) -> str:
        log = self.folder / "log"
        return log.read_text()[-3000:] if log.exists() else "nothing"
