"""`changefeed relay` and `changefeed serve`: processes that run until they are told to stop."""

import asyncio
import importlib.util
import signal
from collections.abc import Callable

import uvicorn

from ..feed import Feed
from ..settings import Settings


async def relaying(settings: Settings, say: Callable[[str], None]) -> None:
    """A relay alone, until SIGINT or SIGTERM. `say` hears of every change of its state."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Feed(settings) as feed:
        saying = asyncio.create_task(_tell(feed, say))
        await stopped.wait()
        saying.cancel()


async def _tell(feed: Feed, say: Callable[[str], None]) -> None:
    pulse = feed.pulse
    said = ""
    while True:
        now = (
            f"not connected: {pulse.problem}"
            if not pulse.connected
            else f"{'leading' if pulse.leading else 'following'}" + "".join(f"; {reason}" for reason in pulse.reasons)
        )
        if now != said:
            say(now)
            said = now
        state = (pulse.connected, pulse.leading, pulse.problem, pulse.watches, pulse.leased)
        await pulse.until(
            lambda state=state: (
                state  # type: ignore[misc]
                != (pulse.connected, pulse.leading, pulse.problem, pulse.watches, pulse.leased)
            )
        )


def served(settings: Settings, host: str | None, port: int | None, workers: int) -> None:
    """The API under uvicorn, with what the service wants of it: see `docs/deployment.md`."""
    package = "changefeed_api" if importlib.util.find_spec("changefeed_api") else "api"
    uvicorn.run(
        f"{package}.app:app",
        host=host or settings.host,
        port=settings.port if port is None else port,
        workers=workers,
        ws_per_message_deflate=settings.compression,
        ws_max_size=max(settings.max_message_bytes * 2, 1 << 16),
        ws_ping_interval=settings.ping_interval,
        ws_ping_timeout=settings.ping_interval,
        timeout_graceful_shutdown=int(settings.drain_timeout) + 5,
        lifespan="on",
    )
