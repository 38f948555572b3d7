"""Cutting a peer off at its TCP connection.

ASGI can only close politely, and a close waits behind everything that the peer has not read: with a zero window for
as long as TCP is patient. Uvicorn's `send` is a method of the protocol that owns the transport, so it can be found; under
another server, or behind a middleware that wraps `send`, there is nothing to be found, and the server's own timeouts decide.
"""

import asyncio
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

KEY = "changefeed.transport"
LINGER_SECONDS = 5.0
"""For which a WebSocket's TCP connection may outlive it: for what is still to be sent, and the peer's answer to our close."""


class Transport(Protocol):
    """What is needed of one; uvloop's is no asyncio.Transport."""

    def abort(self) -> None:
        """Close at once, and forget what was not sent. Does nothing to a closed one."""


class TransportFinder:
    """Middleware, the outermost: notes the connection's transport in its scope, and sees that a WebSocket's comes to an end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
        if not callable(getattr(transport, "abort", None)):
            await self._app(scope, receive, send)
            return
        scope[KEY] = transport
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "websocket":
                asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)


def cut_off(scope: Scope) -> bool:
    """Abort the connection, dropping what it has not read. Returns whether its transport was known."""
    transport: Transport | None = scope.get(KEY)
    if transport is None:
        return False
    transport.abort()
    return True
