"""A TCP proxy between a client and its server that can be told to misbehave."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

PIECE = 65536


class Proxy:
    """`async with Proxy(host, port) as proxy:`; clients connect to `proxy.port`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._swallows = 0
        self._wanted = b""
        self._is_asked = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: set[asyncio.StreamWriter] = set()
        self._gone: set[asyncio.StreamWriter] = set()
        self.swallowed = 0
        self.is_cut = False
        self.is_silent = False
        self.deafens = False  # whoever listens for notifications hears nothing from then on
        self.deafened = 0
        self.delay_seconds = 0.0
        self.piece_bytes = PIECE
        self.port = 0

    def swallow(self, wanted: bytes, times: int = 1) -> None:
        """Forward the next requests that contain these bytes, take the server's answer, and cut the connection instead of passing it on."""
        self._wanted, self._swallows = wanted, times

    def cut(self) -> None:
        """Every connection ends, and nobody gets through, until `mend`."""
        self.is_cut = True
        for stream in list(self._streams):
            stream.transport.abort()

    def vanish(self) -> None:
        """No byte gets through and nobody is told, as when a router loses its table; connections of before stay so after `mend`."""
        self.is_silent = True
        self._gone |= self._streams

    def mend(self) -> None:
        self.is_cut = self.is_silent = False

    @property
    def connections(self) -> int:
        return len(self._streams) // 2

    async def __aenter__(self) -> "Proxy":
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._streams.add(writer)
        try:
            while self.is_silent and await reader.read(PIECE):
                pass
            if not self.is_cut:
                await self._connect(reader, writer)
        except OSError:
            pass  # one side is gone: so is the other
        finally:
            writer.transport.abort()
            self._streams.discard(writer)
            self._gone.discard(writer)
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        self._streams.add(server_writer)
        marks = {"swallows": False}
        there = asyncio.ensure_future(self._forward(reader, server_writer, writer, marks))
        back = asyncio.ensure_future(self._answer(server_reader, writer, marks))
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (there, back):
                one.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            server_writer.transport.abort()
            self._streams.discard(server_writer)
            self._gone.discard(server_writer)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter, marks: dict[str, bool]
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                if self.deafens and b"LISTEN" in piece:
                    self.deafened += 1
                    self._loop.call_later(0.5, self._gone.add, back)  # once it knows that it listens
                if self._swallows and self._wanted in piece:
                    self._swallows -= 1
                    marks["swallows"] = True
                await self._pass_on(piece, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, marks: dict[str, bool]) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                if marks["swallows"]:
                    self.swallowed += 1
                    return
                await self._pass_on(piece, writer)

    async def _pass_on(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        if writer in self._gone:
            return
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        for start in range(0, len(piece), self.piece_bytes):
            writer.write(piece[start : start + self.piece_bytes])
            await writer.drain()


class ProxyThread:
    """The same beside a test that does not run in an event loop: what it is told happens before the call returns."""

    def __init__(self, host: str, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.proxy = Proxy(host, port)

    def __enter__(self) -> "ProxyThread":
        self._thread.start()
        self._wait_for(self.proxy.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait_for(self.proxy.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def port(self) -> int:
        return self.proxy.port

    def tell(self, order: Callable[[Proxy], object]) -> None:
        async def obey() -> None:
            order(self.proxy)

        self._wait_for(obey())

    def _wait_for(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
