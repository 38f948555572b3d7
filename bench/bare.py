"""What a WebSocket costs by itself: an application that authenticates nobody and reads no log, under the same uvicorn.

`/ws/dashboard` is a connection that only waits; `GET /broadcast?messages=N&text=...` sends N messages to every one of them,
one after the other in a plain loop.
"""

import asyncio
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

sockets: set[WebSocket] = set()


async def wait(websocket: WebSocket) -> None:
    """Receives until the end."""
    await websocket.accept(subprotocol="bearer")
    sockets.add(websocket)
    try:
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        sockets.discard(websocket)


async def broadcast(request: Request) -> PlainTextResponse:
    """The plain loop."""
    text = "x" * int(request.query_params["size"])
    for _ in range(int(request.query_params["messages"])):
        for websocket in sockets:
            await websocket.send_text(text)
        await asyncio.sleep(0)
    return PlainTextResponse("sent")


async def ready(_request: Request) -> PlainTextResponse:
    """At once."""
    return PlainTextResponse("ready")


app = Starlette(
    routes=[
        WebSocketRoute("/ws/dashboard", wait),
        Route("/broadcast", broadcast),
        Route("/readyz", ready),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", ws_per_message_deflate=False)
