"""The client's example in a browser, as a person and as the network see it: what it shows, and what it has asked for."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from playwright.async_api import BrowserContext, Locator, Page, Request, WebSocket, expect

from demo import host
from tests.browser.conftest import TOKENS
from tests.support.database import ROOT

PAINT = ROOT / "demo" / "paint.js"
SET_PROGRESS = "update workflow_execution set progress = $2 where id = $1"
LISTED = """
select e.id::text, e.status, e.progress
from workflow_execution e join workflow w on w.id = e.workflow_id
where w.owner_id = $1
order by e.started_at desc nulls first, e.id desc
limit 20
"""

ROWS = """nodes => nodes.map((row) => [
    row.dataset.id,
    row.querySelector("[data-status]").textContent,
    Number.parseInt(row.querySelector("progress").nextSibling.nextSibling.textContent),
])"""


@dataclass
class Dashboard:
    """One tab of it."""

    page: Page
    sockets: list[WebSocket] = field(default_factory=list)
    """Every one that it has opened."""
    asked: list[str] = field(default_factory=list)
    """The paths, with their queries, of its requests to the API."""

    @property
    def indicator(self) -> Locator:
        return self.page.get_by_role("status").first

    @property
    def switch(self) -> Locator:
        return self.page.get_by_role("switch", name="Live")

    @property
    def rows(self) -> Locator:
        return self.page.locator("tr[data-id]")

    def row(self, key: object = host.EXECUTION) -> Locator:
        return self.page.locator(f'tr[data-id="{key}"]')

    async def has_hung_up(self) -> None:
        """Waits until every socket is closed."""
        for socket in self.sockets:
            if not socket.is_closed():
                await socket.wait_for_event("close")

    async def live(self) -> "Dashboard":
        """Waits until it is live and shows the executions."""
        await expect(self.indicator).to_have_text("Live")
        await expect(self.rows).not_to_have_count(0)
        return self

    async def shows_what_the_database_holds(self, app: "asyncpg.Connection[Any]", user: object = host.USER1) -> None:
        """Waits until the list of executions is the database's, row by row."""
        expected = [list(row) for row in await app.fetch(LISTED, user)]
        try:
            await self.page.wait_for_function(
                f"(expected) => JSON.stringify(({ROWS})([...document.querySelectorAll('tr[data-id]')]))"
                " === JSON.stringify(expected)",
                arg=expected,
            )
        finally:
            assert await self.rows.evaluate_all(ROWS) == expected


async def tab(context: BrowserContext, url: str, token: str = TOKENS["user1"], query: str = "") -> Dashboard:
    """A new tab, logged in with this token."""
    page = await context.new_page()
    opened = Dashboard(page)

    def note(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.path.startswith("/api/"):
            opened.asked.append(parts.path + (f"?{parts.query}" if parts.query else ""))

    page.on("websocket", lambda socket: opened.sockets.append(socket))  # noqa: PLW0108 - Playwright sets an attribute
    page.on("request", note)
    await page.goto(f"{url}/{query}#token={token}")
    return opened
