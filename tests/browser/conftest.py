"""Fixtures of the browser's tests: a service with rows in its database, and a page in a Chromium that may go nowhere else.

Every page is watched: a request to another host, an error in the console or an exception in a script fails its test.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Route,
    WebSocket,
    async_playwright,
    expect,
)

import tools.example
from demo import host
from tests.support.database import Database, Databases
from tests.support.issuer import claims, token
from tests.support.requirements import require
from tests.support.service import ServiceProcess, Services, services

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DELIVERED = "demo.dashboard:app"
PATIENCE_MS = 30_000
"""For a machine that has other things to do as well."""
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def databases(embedded: Databases) -> Databases:
    """The page does not know which server it is on: the embedded one is enough."""
    return embedded


@pytest.fixture
async def seeded(database: Database) -> Database:
    """The demo's first data."""
    await host.seed(database.app_dsn)
    return database


TOKENS = {
    "user1": token(claims(sub=str(host.USER1))),
    "user2": token(claims(sub=str(host.USER2))),
    "admin": token(claims(sub=str(host.ADMIN), role="admin")),
}


@pytest.fixture
def processes(seeded: Database) -> Iterator[Services]:
    """Services over that database, with whatever settings a test needs."""
    with services(seeded.feed_dsn) as started:
        yield started


@pytest.fixture
async def service(processes: Services) -> ServiceProcess:
    """A demonstration: its page gets the tokens of all three people."""
    return await processes.start(demo_tokens=json.dumps(TOKENS))


@pytest.fixture(scope="session")
def built(client_packages: Path) -> Path:
    """The example of `client/`, built with the package as it is published; once for as long as nothing changes."""
    assert client_packages.exists()
    return tools.example.build()


@pytest.fixture
async def delivered(processes: Services, built: Path) -> ServiceProcess:
    """That example and the API in one process, as a team would deliver them."""
    assert (built / "index.html").exists()
    return await processes.start(app=DELIVERED)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A Chromium of the test's own."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=require("browser"), args=ARGUMENTS)
        yield started
        await started.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser window of one person's."""
    made = await browser.new_context()
    made.set_default_timeout(PATIENCE_MS)
    yield made
    await made.close()


class Watch:
    """What a page has asked for and said."""

    def __init__(self, url: str) -> None:
        self.admit(url)
        self.addresses: list[str] = []
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        self.expected: tuple[str, ...] = ()
        """Words of complaints that the test provokes: a browser reports each refused connection."""
        self.sockets: list[list[str]] = []
        """The frames that each WebSocket has received."""

    def admit(self, url: str) -> None:
        """This is the host that the page may talk to."""
        self.host = urlsplit(url).netloc

    async def route(self, route: Route, request: Request) -> None:
        """Lets through what stays on this host."""
        self._note(request.url)
        if urlsplit(request.url).netloc == self.host:
            await route.continue_()
        else:
            await route.abort()

    def socket(self, opened: WebSocket) -> None:
        """A WebSocket was opened."""
        self._note(opened.url)
        frames: list[str] = []
        self.sockets.append(frames)
        opened.on("framereceived", lambda frame: frames.append(str(frame)))

    def heard_by(self, user: object) -> str:
        """Everything that the WebSockets of this user have received."""
        sockets = (frames for frames in self.sockets if frames and f'"user_id":"{user}"' in frames[0])
        return "".join(frame for frames in sockets for frame in frames)

    def console(self, message: ConsoleMessage) -> None:
        """Something was written to the console."""
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location}")

    def _note(self, address: str) -> None:
        self.addresses.append(address)
        if urlsplit(address).netloc != self.host:
            self.foreign.append(address)


@asynccontextmanager
async def opened(browser: Browser, url: str, **options: Any) -> AsyncIterator[tuple[Page, Watch]]:
    """The page at this address, watched until the block ends. `options`: the context's."""
    watch = Watch(url)
    context = await browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    await context.route("**/*", watch.route)
    page = await context.new_page()
    page.on("websocket", watch.socket)
    page.on("console", watch.console)
    page.on("pageerror", lambda error: watch.complaints.append(str(error)))
    await page.goto(url)
    yield page, watch
    await context.close()
    assert watch.foreign == []
    assert [said for said in watch.complaints if not any(words in said for words in watch.expected)] == []


@pytest.fixture
async def watched(browser: Browser, service: ServiceProcess) -> AsyncIterator[tuple[Page, Watch]]:
    """The demonstration's page, all three connections live."""
    async with opened(browser, service.url) as (page, watch):
        await page.locator("#summary", has_text="3 of 3 connections live").wait_for()
        yield page, watch


@pytest.fixture
def page(watched: tuple[Page, Watch]) -> Page:
    """That page alone."""
    return watched[0]
