"""A WebSocket client as cheap as Python can make it, so that what is measured is the server.

Speaks just enough of RFC 6455: the handshake, unmasked frames from the server, masked ones to it, pongs. Text frames go to
a callback as bytes, with no JSON parsing; counting is left to the callback.
"""

import asyncio
import os
import struct
from collections.abc import Callable

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Socket(asyncio.Protocol):
    """One connection. `opened` is done when the handshake is; `ended` when the connection is."""

    def __init__(self, path: str, token: str, heard: Callable[[bytes], None], protocols: str = "bearer") -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.close_code: int | None = None
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
            f"Sec-WebSocket-Protocol: {protocols}, {token}\r\n\r\n"
        ).encode()
        self._heard = heard
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done():
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(ConnectionError(bytes(self._buffer[:200]).decode(errors="replace")))
                return
            self.opened.set_result(None)
            del self._buffer[: end + 4]
        self._frames()

    def _frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            kind, size, start = buffer[at] & 15, buffer[at + 1] & 127, at + 2
            if size == 126:
                if len(buffer) - at < 4:
                    break
                size, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                if len(buffer) - at < 10:
                    break
                size, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if len(buffer) < start + size:
                break
            payload = bytes(buffer[start : start + size])
            at = start + size
            if kind == TEXT:
                self._heard(payload)
            elif kind == PING:
                self.send(PONG, payload)
            elif kind == CLOSE and len(payload) >= 2:
                self.close_code = int.from_bytes(payload[:2], "big")
        del buffer[:at]

    def send(self, kind: int, payload: bytes) -> None:
        """One frame, masked as the protocol wants it."""
        assert self._transport is not None
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))
        size = bytes([128 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
        self._transport.write(bytes([128 | kind]) + size + mask + masked)

    def pause(self) -> None:
        """Stop reading, as a client that hangs."""
        assert self._transport is not None
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        assert self._transport is not None
        self._transport.resume_reading()

    def close(self) -> None:
        """Gone, without a goodbye."""
        assert self._transport is not None
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("closed during the handshake"))
        if not self.ended.done():
            self.ended.set_result(None)


async def connect(
    port: int, token: str, heard: Callable[[bytes], None], path: str = "/ws/dashboard", protocols: str = "bearer"
) -> Socket:
    """An open connection. Raises ConnectionError, OSError."""
    _, socket = await asyncio.get_running_loop().create_connection(
        lambda: Socket(path, token, heard, protocols), "127.0.0.1", port
    )
    await socket.opened
    return socket
