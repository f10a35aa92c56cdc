"""Forks the processes of these tests from one that has imported everything: a start costs milliseconds, a death is still a death.

Speaks lines of JSON: takes {"options", "log"}, gives {"started"} and, for each that ends, {"ended", "status"}.
"""

import json
import os
import select
import signal
import traceback

from tests.crash.process import main


def serve() -> None:
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_reader, False)
    os.set_blocking(wake_writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    pending = b""
    children: set[int] = set()
    while True:
        ready, _, _ = select.select([0, wake_reader], [], [])
        if wake_reader in ready:
            os.read(wake_reader, 4096)
            reap(children)
        if 0 in ready:
            received = os.read(0, 65536)
            if not received:
                break
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                order = json.loads(line)
                if pid := os.fork():
                    children.add(pid)
                    say(started=pid)
                else:
                    become(order["options"], order["log"], wake_reader, wake_writer)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def reap(children: set[int]) -> None:
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            children.discard(pid)
            say(ended=pid, status=os.waitstatus_to_exitcode(status))


def say(**message: int) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def become(options: str, log: str, *inherited: int) -> None:
    """The rest of this process's life. It ends at once; how an interpreter winds up is looked at in a Python of its own."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor in inherited:
        os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(nothing)
    os.close(file)
    status = 1
    try:
        status = main(options)
    except BaseException:
        traceback.print_exc()  # where the test shows it
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve()
