"""Has the kernels give up a connection whose other end is silent: else a host that vanished is waited for, for a quarter of an hour."""

import socket
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # takes no parameters but in its stubs

UNACKNOWLEDGED_SECONDS = 4.0  # for what was sent: the database is back within less, or it is somewhere else
IDLE_SECONDS = 10  # before a connection that only listens is asked whether it is there still
INTERVAL_SECONDS = 3
PROBES = 4

OPTIONS = {
    "TCP_USER_TIMEOUT": round(UNACKNOWLEDGED_SECONDS * 1000),
    "TCP_KEEPIDLE": IDLE_SECONDS,
    "TCP_KEEPINTVL": INTERVAL_SECONDS,
    "TCP_KEEPCNT": PROBES,
}

LETS_GO_OF_THE_DEAD = {
    "tcp_user_timeout": "7000",
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
}
"""What the server is to do of a client that is silent, below a lease in all. A statement that has arrived without its end holds its locks,
the one on its worker's row too, and no time limit of the server ends it: whoever was cut off in that moment could not be declared dead.
"""


def give_up_dead_hosts(db: Connection) -> None:
    """A slow server is not concerned: its kernel acknowledges what it is sent."""
    transport = getattr(db, "_transport", None)  # the driver shows its socket nowhere else
    line = transport.get_extra_info("socket") if transport is not None else None
    if line is None or line.family not in (socket.AF_INET, socket.AF_INET6):
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in OPTIONS.items():
        if hasattr(socket, name):  # not every system has each
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
