"""Hosts on one machine: network namespaces joined by a wire that can be cut. Where the machine allows none, a proxy stands for the wire."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Protocol

from tests.proxy import Proxy, ProxyThread

WAYS = ("both ways", "what it asks", "what it is answered")
numbers = count(1)


class Wire(Protocol):
    """To a host of its own. `address` and `port`: where the server is from there; `prefix`: how a program is started there."""

    address: str
    port: int
    prefix: tuple[str, ...]

    def cut(self, way: str) -> None: ...

    def mend(self, way: str) -> None: ...


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@cache
def may_make_hosts() -> bool:
    if os.getuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"perdure-{os.getpid()}-try"
    if subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode:
        return False
    ip("netns", "del", name)
    return True


@dataclass
class Namespace:
    """`near` and `far` are the addresses of the two ends, `wire` the near end's name."""

    name: str
    wire: str
    near: str
    far: str
    port: int

    @property
    def address(self) -> str:
        return self.near

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def cut(self, way: str) -> None:
        """Nobody is told: what is sent is gone."""
        match way:
            case "both ways":
                ip("link", "set", self.wire, "down")
            case "what it asks":
                ip("-n", self.name, "route", "add", "blackhole", f"{self.near}/32")
            case _:
                ip("route", "add", "blackhole", f"{self.far}/32")

    def mend(self, way: str) -> None:
        match way:
            case "both ways":
                ip("link", "set", self.wire, "up")
            case "what it asks":
                ip("-n", self.name, "route", "del", "blackhole", f"{self.near}/32")
            case _:
                ip("route", "del", "blackhole", f"{self.far}/32")


@contextmanager
def namespace(port: int) -> Iterator[Namespace]:
    number = next(numbers)
    name, wire = f"perdure-{os.getpid()}-{number}", f"p{os.getpid()}.{number}"
    net = f"10.{os.getpid() % 200 + 20}.{number % 250}"
    host = Namespace(name, wire, f"{net}.1", f"{net}.2", port)
    ip("netns", "add", name)
    try:
        ip("link", "add", wire, "type", "veth", "peer", "name", "far", "netns", name)
        ip("addr", "add", f"{host.near}/30", "dev", wire)
        ip("link", "set", wire, "up")
        ip("-n", name, "addr", "add", f"{host.far}/30", "dev", "far")
        ip("-n", name, "link", "set", "far", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield host
    finally:
        subprocess.run(["ip", "link", "del", wire], check=False, capture_output=True)
        ip("netns", "del", name)


class ProxiedWire:
    prefix: tuple[str, ...] = ("env",)
    address = "127.0.0.1"

    def __init__(self, proxy: ProxyThread) -> None:
        self._proxy = proxy
        self.port = proxy.port

    def cut(self, way: str) -> None:
        self._proxy.tell(Proxy.cut if way == "both ways" else Proxy.vanish)

    def mend(self, way: str) -> None:
        self._proxy.tell(Proxy.mend)


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """To the server that listens at this port, on every address of this machine where hosts can be made."""
    if may_make_hosts():
        with namespace(port) as host:
            yield host
    else:
        with ProxyThread("127.0.0.1", port) as proxy:
            yield ProxiedWire(proxy)
