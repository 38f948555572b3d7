"""`changefeed relay` and `changefeed serve`: processes that run until they are told to stop."""

import asyncio
import importlib
import importlib.util
import logging.config
import signal
import socket
from collections.abc import Callable

import uvicorn

from ..errors import ConfigurationError
from ..feed import Feed
from ..logs import configuration
from ..settings import Settings

UNWILLING_SECONDS = 10
"""After everybody was sent away, for connections that do not end."""


async def relaying(settings: Settings, say: Callable[[str], None]) -> None:
    """A relay alone, until SIGINT or SIGTERM. `say` hears of every change of its state.

    Without a database it waits for one. Raises ConfigurationError where none is configured.
    """
    logging.config.dictConfig(configuration(settings.log_format, _censors()))
    if settings.log_format == "json":
        say = logging.getLogger("changefeed.relay").info
    # It shares its environment with the API, where `relay` may be off.
    settings = settings.model_copy(update={"relay": True})
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
    """The API under uvicorn, with what the service wants of it: see `docs/deployment.md`.

    Raises ConfigurationError where it could not work, before any process was started.
    """
    package = service_package()
    address = (host or settings.host, settings.port if port is None else port)
    # A worker that fails would be started again and again; its complaint is heard here, once.
    importlib.import_module(f"{package}.app")
    _refuse_taken(*address)
    uvicorn.run(
        f"{package}.app:app",
        host=address[0],
        port=address[1],
        workers=workers,
        ws_per_message_deflate=settings.compression,
        # Above our own limit, so that whoever exceeds that one is told.
        ws_max_size=max(settings.max_message_bytes * 2, 1 << 16),
        ws_ping_interval=settings.ping_interval,
        ws_ping_timeout=settings.ping_interval,
        timeout_graceful_shutdown=UNWILLING_SECONDS,
        lifespan="on",
        log_config=configuration(settings.log_format, _censors()),
    )


def service_package() -> str:
    """The name of the service's package: an installation has another one than a checkout."""
    return "changefeed_api" if importlib.util.find_spec("changefeed_api") else "api"


def _censors() -> list[str]:
    package = service_package()
    return [f"{package}.redaction.Redaction"] if importlib.util.find_spec(package) else []


def _refuse_taken(host: str, port: int) -> None:
    """Uvicorn would say so itself, after the service has started. Raises ConfigurationError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, number, _, address in found:
            with socket.socket(family, kind, number) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"Nobody can listen on {host}, port {port} ({error.strerror or error}). Choose others with --host and --port."
        ) from error
