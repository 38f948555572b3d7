"""A pooler in transaction mode, as far as a client can tell it from the server: it hands out a key of its own.

PgBouncer gives every client a made-up process number, for cancelling; that is what betrays it.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


@asynccontextmanager
async def pooled(dsn: str) -> AsyncIterator[str]:
    """The same database, through it."""
    server = urlsplit(dsn)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(task := asyncio.current_task())  # type: ignore[arg-type]
        up_reader, up_writer = await asyncio.open_connection(server.hostname, server.port)
        forward = asyncio.create_task(_copy(reader, up_writer))
        try:
            await _answers(up_reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            forward.cancel()
            await asyncio.gather(forward, return_exceptions=True)
            for end in (writer, up_writer):
                end.close()
            tasks.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield dsn.replace(f":{server.port}/", f":{port}/")
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The answer to SSLRequest is one byte; everything else is a type, a length and a content.
    first = await reader.readexactly(1)
    if first in (b"N", b"S"):
        writer.write(first)
        first = await reader.readexactly(1)
    while True:
        length = await reader.readexactly(4)
        content = await reader.readexactly(struct.unpack("!I", length)[0] - 4)
        if first == b"K":
            content = struct.pack("!I", 1) + content[4:]
        writer.write(first + length + content)
        await writer.drain()
        first = await reader.readexactly(1)
