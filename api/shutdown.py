"""Going away politely: clients are told before the server closes their sockets.

Uvicorn closes every WebSocket the moment it is told to stop, waits for every other response, also for those that have no
end, and runs the application's own shutdown after that. So the signal is taken first: no longer ready, everybody sent
away, and only then the server's own handler. A second signal goes to that one at once.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

from .service import Service

logger = logging.getLogger("changefeed.shutdown")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@asynccontextmanager
async def announced(service: Service) -> AsyncIterator[None]:
    """For as long as the server runs. Does nothing where the server runs in a thread, which gets no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    # None is a handler that was not installed from Python, and cannot be put back: it keeps its signal.
    former = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) is not None}

    def first(number: int, frame: FrameType | None) -> None:
        restore()
        loop.call_soon_threadsafe(begin, number, frame)

    def begin(number: int, frame: FrameType | None) -> None:
        tasks.add(loop.create_task(drain(former[signal.Signals(number)], number, frame)))

    async def drain(handler: Any, number: int, frame: FrameType | None) -> None:
        try:
            await service.drain()
        except Exception:
            logger.exception("clients could not be sent away")
        if callable(handler):
            handler(number, frame)
        else:
            signal.raise_signal(number)

    def restore() -> None:
        for number, handler in former.items():
            if signal.getsignal(number) is first:
                signal.signal(number, handler)

    for number in former:
        signal.signal(number, first)
    try:
        yield
    finally:
        restore()
