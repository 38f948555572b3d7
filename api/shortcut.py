"""The straight way to a WebSocket, past the web framework.

What FastAPI wraps around an endpoint (middlewares, exit stacks, dependencies) stays in memory for as long as a connection
lives: 12 KiB of 39, measured by `python -m bench sockets`. A dashboard's connections live for hours and need none of it.
"""

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from . import websocket
from .service import Service

PATHS = ("/ws/dashboard", "/api/v1/stats/ws")


class Shortcut:
    """Middleware: takes the WebSockets of these paths, and leaves everything else to the application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] == "websocket" and scope["path"] in PATHS:
            await websocket.serve(WebSocket(scope, receive, send), self._service)
        else:
            await self._app(scope, receive, send)
