"""What a dashboard costs in ten minutes: the client's example in Chromium, polling beside live, under the demo's simulator.

Two people, one of whom is an administrator as well and sees all panels; each has the dashboard open twice, once polling at the
intervals that it had before, once live. All four at the same time, so that they see the same changes. Counting begins
when somebody logs in, with the page's own files loaded: what is left is what differs.

Bytes are those of the TCP connections, both ways, as a forwarder between browser and server counts them: headers,
handshakes, pings and compression are in them. The live pages measure how long a change takes from its capture to the
screen (`demo/paint.js`).
"""

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import jwt
from playwright.async_api import Browser, Page, Request, WebSocket, async_playwright

import tools.example
from demo import host
from demo.postgres import Postgres, free_port
from tests.support.requirements import LackError, found

from .place import EXPIRY, ROOT, SECRET, migrated, postgres, process, until_ready
from .result import Result

CHUNK = 1 << 16
PAINTED_MS = 100
"""What the median from capture to paint has to stay below."""
PAINT = ROOT / "demo" / "paint.js"
PEOPLE = {"a user": {"sub": str(host.USER1)}, "an administrator": {"sub": str(host.USER2), "role": "admin"}}
MODES = ("polling", "live")


@dataclass
class Usage:
    """What one page has cost."""

    requests: Counter[str] = field(default_factory=Counter)
    """By path."""
    messages: int = 0
    sent: int = 0
    received: int = 0
    paints: list[float] = field(default_factory=list)

    def reset(self) -> None:
        """Counting begins."""
        self.requests.clear()
        self.messages = self.sent = self.received = 0


@asynccontextmanager
async def _forwarder(port: int, usage: Usage) -> AsyncIterator[int]:
    """A port that leads to another one, and counts what goes through."""
    streams: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        try:
            while data := await reader.read(CHUNK):
                setattr(usage, direction, getattr(usage, direction) + len(data))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        streams.update((writer, back))
        await asyncio.gather(pump(reader, back, "sent"), pump(there, writer, "received"))
        streams.difference_update((writer, back))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for stream in streams:
            stream.close()


@asynccontextmanager
async def _platform(server: Postgres) -> AsyncIterator[int]:
    """The demo's application with its simulator, and the API with the dashboard: its port."""
    await host.create_roles(server.dsn("postgres"))
    dsns = await host.create_database(server.dsn("postgres"), "dashboard")
    await host.install_schema(dsns.app_dsn)
    await host.seed(dsns.app_dsn)
    await migrated(dsns)
    port = free_port("127.0.0.1")
    serving = ("-m", "uvicorn", "demo.dashboard:app", "--port", str(port), "--log-level", "warning")
    async with process(*serving, CHANGEFEED_DSN=dsns.feed_dsn, CHANGEFEED_JWT_SECRET=SECRET):
        await until_ready(f"http://127.0.0.1:{port}/readyz")
        async with process("-m", "demo.simulator", DATABASE_URL=dsns.app_dsn):
            yield port


async def _opened(browser: Browser, port: int, mode: str, usage: Usage) -> Page:
    """The dashboard with nobody logged in yet: it has loaded its files, and asks for nothing."""
    page = await (await browser.new_context()).new_page()
    await page.add_init_script(path=PAINT)

    def asked(request: Request) -> None:
        usage.requests[urlsplit(request.url).path] += 1

    def connected(socket: WebSocket) -> None:
        usage.requests[urlsplit(socket.url).path] += 1
        socket.on("framereceived", heard)

    def heard(_frame: str | bytes) -> None:
        usage.messages += 1

    page.on("request", asked)
    page.on("websocket", connected)
    await page.goto(f"http://127.0.0.1:{port}/?mode={mode}")
    await page.get_by_label("Token").wait_for()
    usage.reset()
    return page


async def _log_in(page: Page, who: dict[str, str], mode: str) -> None:
    await page.get_by_label("Token").fill(jwt.encode({**who, "exp": EXPIRY}, SECRET, "HS256"))
    await page.keyboard.press("Enter")
    await page.locator(f"[role=status][data-state={mode}]").wait_for()


async def measure(minutes: float) -> list[Result]:
    """All four, for so long."""
    try:
        chromium, _ = found("browser"), found("node")
    except LackError as lack:
        print(f"the dashboard is not measured: {lack}", file=sys.stderr)
        return []
    await asyncio.to_thread(tools.example.build)
    usages = {(person, mode): Usage() for person in PEOPLE for mode in MODES}
    with postgres() as server:
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(_platform(server))
            playwright = await stack.enter_async_context(async_playwright())
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            stack.push_async_callback(browser.close)
            pages: dict[tuple[str, str], Page] = {}
            for key, usage in usages.items():
                forwarded = await stack.enter_async_context(_forwarder(port, usage))
                pages[key] = await _opened(browser, forwarded, key[1], usage)
            begun = time.monotonic()
            await asyncio.gather(*(_log_in(page, PEOPLE[person], mode) for (person, mode), page in pages.items()))
            await asyncio.sleep(max(0.0, begun + minutes * 60 - time.monotonic()))
            for key, usage in usages.items():
                usage.paints = await pages[key].evaluate("paints.map(({ milliseconds }) => milliseconds)")
            counted = {key: (usage.requests.total(), usage.sent, usage.received) for key, usage in usages.items()}
    return [_result(minutes, usages, counted)]


def _result(
    minutes: float, usages: dict[tuple[str, str], Usage], counted: dict[tuple[str, str], tuple[int, int, int]]
) -> Result:
    paints = [wait for usage in usages.values() for wait in usage.paints]
    result = Result(
        f"{minutes:g} minutes of a dashboard, polling against live",
        "The client's example in Chromium under the demo's simulator, about five transactions a second. Polling: executions every"
        " 10 s, statistics 30 s; an administrator's system metrics 15 s, costs 60 s. A WebSocket counts as one request.",
    )
    result.compare(
        f"from capture to paint, median of {len(paints):,} changes",
        statistics.median(paints),
        PAINTED_MS,
        at_least=False,
        unit="ms",
    )
    result.table = [["", "requests", "messages", "KiB sent", "KiB received"]]
    for (person, mode), (requests, sent, received) in counted.items():
        figures = (requests, usages[person, mode].messages, sent / 1024, received / 1024)
        result.table.append([f"{person}, {mode}", *(f"{figure:,.0f}" for figure in figures)])
    result.raw = {
        "paints_ms": paints,
        "requests": {f"{person}, {mode}": dict(usage.requests) for (person, mode), usage in usages.items()},
    }
    return result
