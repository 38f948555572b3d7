"""A Redis of a test's own: a real server process without a disk, on a port of its own, which may be killed and started again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from demo.postgres import free_port

READY = b"Ready to accept connections"


class RedisServer:
    """One that listens on 127.0.0.1 and forgets everything when it ends."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._port = free_port("127.0.0.1")
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        """Returns when it takes connections."""
        self._process = process = await asyncio.create_subprocess_exec(
            *(self._command, "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while READY not in (line := await process.stdout.readline()):
                assert line, "the server has ended"

    async def kill(self) -> None:
        """As a crash would."""
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.communicate()

    def freeze(self) -> None:
        """It keeps its connections and answers nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def redis_server(command: str) -> AsyncIterator[RedisServer]:
    """One that runs, and is gone in the end."""
    server = RedisServer(command)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
