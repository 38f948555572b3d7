"""A network that can be broken: a TCP proxy on the loopback, which freezes, delays, throttles and cuts.

    async with Proxy.to(database.feed_dsn) as network:
        Feed(Settings(dsn=network.dsn))
        network.freeze()

Guarantees: bytes arrive whole and in order, or not at all; leaving the block ends every connection. Everything is the
state of the network at the moment and holds for both directions. Half-open is what a pulled cable leaves behind: both
sides believe in a connection on which nothing comes any more, while new ones are made.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
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
        self._listening: socket.socket

    @classmethod
    def to(cls, dsn: str, answers: Callable[[bytes], bytes] = bytes) -> "Proxy":
        """A proxy before the server of this connection string."""
        url = urlsplit(dsn)
        proxy = cls(url.hostname or "127.0.0.1", url.port or 5432, answers)
        proxy.dsn = dsn
        return proxy

    async def __aenter__(self) -> Self:
        self._listening = socket.create_server((self._listen_host, self.port), backlog=1024)
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        url = urlsplit(self.dsn)
        if url.netloc:
            user, _, _ = url.netloc.rpartition("@")
            self.dsn = urlunsplit(url._replace(netloc=f"{user}@{self._listen_host}:{self.port}"))
        asyncio.get_running_loop().add_reader(self._listening, self._accept)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._listening)
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Also those whose task was cancelled before it began. Sockets are closed in the loop's next turn.
        self.cut()
        self.connections.clear()
        await asyncio.sleep(0)

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
        for link in self.connections:
            link.cut()

    def _accept(self) -> None:
        # By hand, and not by a server of asyncio's, which hands over connections some turns after it was closed.
        with suppress(BlockingIOError):
            connection, _ = self._listening.accept()
            self.accepted += 1
            if self.refusing:
                connection.close()
                return
            connection.setblocking(False)
            link = _Link(connection)
            self.connections.add(link)
            task = asyncio.create_task(self._serve(link))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, link: "_Link") -> None:
        try:
            reader, writer = await link.add(asyncio.open_connection(sock=link.accepted))
            await self._open.wait()
            server_reader, server_writer = await link.add(asyncio.open_connection(*self.address))
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(link, reader, server_writer, bytes))
                    group.create_task(self._pump(link, server_reader, writer, self.answers))
            except* (OSError, EOFError):
                pass
            # What was read before the end is still to be delivered.
            await link.close()
        except OSError:
            pass
        finally:
            link.cut()
            self.connections.discard(link)

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
                await asyncio.sleep(min(piece, len(data)) / self.bytes_per_second)
            data = data[piece:]


class _Link:
    """One connection through the proxy."""

    def __init__(self, accepted: socket.socket) -> None:
        self.accepted = accepted
        self._writers: list[asyncio.StreamWriter] = []
        self.dead = False

    async def add(
        self, opening: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One side of it."""
        reader, writer = await opening
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()

    def cut(self) -> None:
        if not self._writers:
            self.accepted.close()
        for writer in self._writers:
            writer.transport.abort()
