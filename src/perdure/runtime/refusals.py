"""What an event loop usually offers and a run's loop refuses: I/O, threads, processes, signal handlers."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from perdure.errors import NotAllowedInWorkflow
from perdure.runtime.places import line_of
from perdure.runtime.tasks import caller

_DESCRIPTOR, _CONNECTION, _SOCKET = "watches a file descriptor", "opens a connection", "uses a socket"
_HOST, _PROCESS, _LOOP = "looks up a host", "starts a process", "drives an event loop"

REFUSED = {
    "add_reader": _DESCRIPTOR,
    "add_signal_handler": "handles a signal of the process",
    "add_writer": _DESCRIPTOR,
    "call_soon_threadsafe": "is called from a thread",
    "connect_accepted_socket": _CONNECTION,
    "connect_read_pipe": "opens a pipe",
    "connect_write_pipe": "opens a pipe",
    "create_connection": _CONNECTION,
    "create_datagram_endpoint": _SOCKET,
    "create_server": _SOCKET,
    "create_unix_connection": _CONNECTION,
    "create_unix_server": _SOCKET,
    "getaddrinfo": _HOST,
    "getnameinfo": _HOST,
    "remove_reader": _DESCRIPTOR,
    "remove_signal_handler": "handles a signal of the process",
    "remove_writer": _DESCRIPTOR,
    "run_forever": _LOOP,
    "run_in_executor": "starts a thread",
    "run_until_complete": _LOOP,
    "sendfile": "sends a file",
    "shutdown_asyncgens": _LOOP,
    "shutdown_default_executor": _LOOP,
    "sock_accept": _SOCKET,
    "sock_connect": _SOCKET,
    "sock_recv": _SOCKET,
    "sock_recv_into": _SOCKET,
    "sock_recvfrom": _SOCKET,
    "sock_recvfrom_into": _SOCKET,
    "sock_sendall": _SOCKET,
    "sock_sendfile": "sends a file",
    "sock_sendto": _SOCKET,
    "start_tls": _CONNECTION,
    "stop": _LOOP,
    "subprocess_exec": _PROCESS,
    "subprocess_shell": _PROCESS,
}


class RefusingLoop(asyncio.AbstractEventLoop):
    """Every method of the table raises NotAllowedInWorkflow, naming the user's line."""


def _refusal(method: str, does: str) -> Callable[..., NoReturn]:
    def refuse(_loop: RefusingLoop, *_args: object, **_kwargs: object) -> NoReturn:
        raise NotAllowedInWorkflow(
            f"{line_of(caller())}: loop.{method} {does} inside workflow code, which does not replay; move this into a step"
        )

    return refuse


for _method, _does in REFUSED.items():
    setattr(RefusingLoop, _method, _refusal(_method, _does))
