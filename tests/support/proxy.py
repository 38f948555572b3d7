"""A network that can be broken: a TCP proxy on the loopback, which freezes, delays, throttles and cuts.

    async with Proxy.to(database.feed_dsn) as network:
        Feed(Settings(dsn=network.dsn))
        network.freeze()

Guarantees: bytes arrive whole and in order, or not at all; leaving the block ends every connection. Everything is the
state of the network at the moment and holds for both directions. Half-open is what a pulled cable leaves behind: both
sides believe in a connection on which nothing comes any more, while new ones are made.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65536
THROTTLE_SECONDS = 0.05
"""Between two pieces of what is throttled, about."""


class Proxy:
    """See above. `connections` are those that are open now, also the half-open ones."""

    def __init__(
        self, host: str, port: int, answers: Callable[[bytes], bytes] = bytes, listen_host: str = "127.0.0.1"
    ) -> None:
        """`answers` may falsify what the server says, piece by piece, as the proxy reads it."""
        self.address = (host, port)
        self.dsn = ""
        """A connection string that leads through the proxy; see `to`."""
        self.port = 0
        self.accepted = 0
        """Connections since the start."""
        self.delay = 0.0
        """Seconds by which every byte is late, in each direction."""
        self.bytes_per_second = 0.0
        """How much gets through, of each connection and in each direction; 0: everything."""
        self.refusing = False
        """Whether new connections are cut off at once."""
        self.connections: set[_Link] = set()
        self.answers = answers
        self._listen_host = listen_host
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    def to(cls, dsn: str, answers: Callable[[bytes], bytes] = bytes) -> "Proxy":
        """A proxy before the server of this connection string."""
        url = urlsplit(dsn)
        proxy = cls(url.hostname or "127.0.0.1", url.port or 5432, answers)
        proxy.dsn = dsn
        return proxy

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._listen_host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        url = urlsplit(self.dsn)
        if url.netloc:
            user, _, _ = url.netloc.rpartition("@")
            self.dsn = urlunsplit(url._replace(netloc=f"{user}@{self._listen_host}:{self.port}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def freeze(self) -> None:
        """Nothing gets through any more, on connections old and new; what was sent waits, and the senders' windows fill."""
        self._open.clear()

    def thaw(self) -> None:
        """Everything gets through again, also what waited."""
        self._open.set()

    def half_open(self) -> None:
        """The present connections are dead for ever, without a word to either side. New ones are not affected."""
        for link in self.connections:
            link.dead = True

    def cut(self) -> None:
        """The present connections are reset on both sides."""
        for link in list(self.connections):
            link.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        try:
            if self.refusing:
                return
            await self._open.wait()
            server_reader, server_writer = await asyncio.open_connection(*self.address)
            link = _Link(writer, server_writer)
            self.connections.add(link)
            try:
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._pump(link, reader, server_writer, bytes))
                        group.create_task(self._pump(link, server_reader, writer, self.answers))
                except* (OSError, EOFError):
                    pass
                # What was read before the end is still to be delivered.
                await link.close()
            finally:
                link.cut()
                self.connections.discard(link)
        except OSError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pump(
        self,
        link: "_Link",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], bytes],
    ) -> None:
        """One direction. Raises EOFError at the end of it, which ends the other one too."""
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        loop = asyncio.get_running_loop()

        async def read() -> None:
            while True:
                data = await reader.read(CHUNK)
                await late.put((loop.time() + self.delay, data))
                if not data:
                    return

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            while True:
                due, data = await late.get()
                if (early := due - loop.time()) > 0:
                    await asyncio.sleep(early)
                await self._open.wait()
                if link.dead:
                    # The sender is not told: its bytes go nowhere until the proxy ends.
                    await asyncio.Event().wait()
                if not data:
                    with suppress(OSError, NotImplementedError):
                        writer.write_eof()
                    raise EOFError
                await self._write(writer, change(data))

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            piece = max(1, int(self.bytes_per_second * THROTTLE_SECONDS)) if self.bytes_per_second else len(data)
            writer.write(data[:piece])
            await writer.drain()
            if self.bytes_per_second:
                await asyncio.sleep(piece / self.bytes_per_second)
            data = data[piece:]


class _Link:
    """One connection through the proxy."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.dead = False

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
