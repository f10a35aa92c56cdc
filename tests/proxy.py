"""A TCP proxy between a client and its server that can be told to misbehave."""

import asyncio
from contextlib import suppress

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
        self.swallowed = 0
        self.is_cut = False
        self.port = 0

    def swallow(self, wanted: bytes, times: int = 1) -> None:
        """Forward the next requests that contain these bytes, take the server's answer, and cut the connection instead of passing it on."""
        self._wanted, self._swallows = wanted, times

    def cut(self) -> None:
        """Every connection ends, and nobody gets through, until `mend`."""
        self.is_cut = True
        for stream in list(self._streams):
            stream.transport.abort()

    def mend(self) -> None:
        self.is_cut = False

    async def __aenter__(self) -> "Proxy":
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
            if not self.is_cut:
                await self._connect(reader, writer)
        except OSError:
            pass  # one side is gone: so is the other
        finally:
            writer.transport.abort()
            self._streams.discard(writer)
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        self._streams.add(server_writer)
        marks = {"swallows": False}
        there = asyncio.ensure_future(self._forward(reader, server_writer, marks))
        back = asyncio.ensure_future(self._answer(server_reader, writer, marks))
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (there, back):
                one.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            server_writer.transport.abort()
            self._streams.discard(server_writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, marks: dict[str, bool]) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                if self._swallows and self._wanted in piece:
                    self._swallows -= 1
                    marks["swallows"] = True
                writer.write(piece)
                await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, marks: dict[str, bool]) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                if marks["swallows"]:
                    self.swallowed += 1
                    return
                writer.write(piece)
                await writer.drain()
