"""Cutting a peer off at its TCP connection.

ASGI can only close politely, and a close waits behind everything that the peer has not read: with a zero window for
as long as TCP is patient. Uvicorn's `send` is a method of the protocol that owns the transport, so it can be found; under
another server, or behind a middleware that wraps `send`, there is nothing to be found, and the server's own timeouts decide.
"""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

KEY = "changefeed.transport"


class TransportFinder:
    """Middleware, the outermost: notes the connection's transport in its scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if isinstance(transport, asyncio.Transport):
            scope[KEY] = transport
        await self._app(scope, receive, send)


def cut_off(connection: WebSocket) -> bool:
    """Abort the connection, dropping what it has not read. Returns whether its transport was known."""
    transport: asyncio.Transport | None = connection.scope.get(KEY)
    if transport is None:
        return False
    transport.abort()
    return True
