"""A peer that stops reading: a raw socket with a small receive buffer, as a sleeping laptop or a hostile client has it."""

import asyncio
import base64
import os
import re
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.subscribers import LONGEST

BUFFER = 4096


class StuckPeer:
    """A connection to the service that reads the head of the answer, and then nothing until it is told to."""

    def __init__(self, url: str, path: str, token: str, *, websocket: bool, subprotocol: str | None = None) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self._address = (address.hostname, address.port)
        lines = [f"GET {path} HTTP/1.1", f"Host: {address.netloc}", f"Authorization: Bearer {token}"]
        if websocket:
            key = base64.b64encode(os.urandom(16)).decode()
            lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
            lines += [f"Sec-WebSocket-Key: {key}"]
            lines += [f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._socket = socket.socket()
        # Before connecting, because the window is announced with the first packet.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._socket.setblocking(False)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, self._address)
        await loop.sock_sendall(self._socket, self._request)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def read_until(self, pattern: bytes) -> re.Match[bytes]:
        """Reads up to what matches, and hardly further."""
        got = b""
        async with asyncio.timeout(LONGEST):
            while (match := re.search(pattern, got)) is None:
                piece = await asyncio.get_running_loop().sock_recv(self._socket, BUFFER)
                assert piece, got
                got += piece
        return match

    async def read(self) -> bytes:
        """What comes next; nothing where the connection has ended, however that was."""
        async with asyncio.timeout(LONGEST):
            try:
                return await asyncio.get_running_loop().sock_recv(self._socket, 1 << 16)
            except ConnectionResetError:
                return b""

    def reset(self) -> None:
        """Gone at once, with a reset instead of a goodbye."""
        # A lingering of no time at all is how the kernel is told so.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def is_held(self) -> bool:
        """Whether the service still has its end of the connection open, as Linux's own table says."""
        port = f":{self._socket.getsockname()[1]:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        # Column 2 is the other end, 9 the inode: 0 where no process has it open, whatever the kernel still tries to send.
        return any(row[2].endswith(port) and row[9] != "0" for row in rows)

    async def cut_off(self) -> bytes:
        """Reads to the end, which must be a connection that was cut. Returns what was still there."""
        got = bytearray()
        async with asyncio.timeout(LONGEST):
            try:
                while piece := await asyncio.get_running_loop().sock_recv(self._socket, 1 << 16):
                    got += piece
            except ConnectionResetError:
                pass
        return bytes(got)
