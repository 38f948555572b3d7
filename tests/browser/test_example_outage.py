"""The client's example when something is wrong: the server is killed, transports are blocked, a token expires."""

import re
import time
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import BrowserContext, Route, WebSocketRoute, async_playwright, expect

from demo import host
from tests.browser.conftest import ARGUMENTS, DELIVERED, PATIENCE_MS, TOKENS
from tests.browser.dashboard import SET_PROGRESS, tab
from tests.support.issuer import claims, token
from tests.support.requirements import require
from tests.support.service import ServiceProcess, Services

pytestmark = pytest.mark.needs("browser", "node")

UNREACHABLE = 1006
EXECUTIONS_INTERVAL_MS = 10_000
LONGEST_BACKOFF_MS = 30_000
TRACE = """() => {
    globalThis.states = [];
    const indicator = document.querySelector("[role=status]");
    new MutationObserver(() => states.push(indicator.textContent))
        .observe(indicator, { childList: true, characterData: true, subtree: true });
}"""


async def changes_of_every_kind(app: asyncpg.Connection) -> None:
    """What may be missed: a row changed, one that ends, one that is new, one that is gone."""
    await app.execute(SET_PROGRESS, host.EXECUTION, 81)
    listed = "select id from workflow_execution where status = $1 and workflow_id in "
    mine = "(select id from workflow where owner_id = $2) order by started_at desc nulls first limit 1"
    ended = await app.fetchval(listed + mine, "running", host.USER1)
    await app.execute("update workflow_execution set status = 'failed' where id = $1", ended)
    gone = await app.fetchval(listed + mine, "pending", host.USER1)
    await app.execute("delete from workflow_execution where id = $1", gone)
    await app.execute(
        "insert into workflow_execution (workflow_id, status, progress) values ($1, 'paused', 12)", host.WORKFLOW
    )


async def test_the_server_is_killed_and_after_the_restart_nothing_is_missing(
    context: BrowserContext, processes: Services, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    opened = await (await tab(context, delivered.url)).live()
    await opened.page.evaluate(TRACE)
    delivered.kill()
    await expect(opened.indicator).to_have_text("Connecting…")
    await changes_of_every_kind(app)
    await expect(opened.indicator).to_have_text("Offline")
    await expect(opened.row()).to_contain_text(" 40 %")
    port = delivered.url.rpartition(":")[2]
    await processes.begin(DELIVERED, ["--port", port]).ready()
    await opened.live()
    await opened.shows_what_the_database_holds(app)
    await app.execute(SET_PROGRESS, host.EXECUTION, 82)
    await expect(opened.row()).to_contain_text(" 82 %")
    states = await opened.page.evaluate("states")
    assert states[:2] == ["Connecting…", "Offline"]
    # On the way up it may be the long poll that answers first.
    assert set(states[2:]) <= {"Connecting…", "Polling", "Live"}


async def test_the_server_of_the_changes_is_killed_polling_takes_over_and_after_the_restart_it_is_live_again(
    context: BrowserContext, processes: Services, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    """As where the API is one server, which stays, and changefeed another one, which does not."""
    rest = await processes.start()

    async def answer(route: Route) -> None:
        await route.continue_(url=route.request.url.replace(delivered.url, rest.url))

    await context.route(re.compile("/api/v1/(executions|stats)"), answer)
    opened = await (await tab(context, delivered.url)).live()
    await opened.page.evaluate(TRACE)
    await opened.page.clock.install()
    delivered.kill()
    await expect(opened.indicator).to_have_text("Offline")
    await changes_of_every_kind(app)
    await expect(opened.row()).to_contain_text(" 40 %")
    await opened.page.clock.fast_forward(EXECUTIONS_INTERVAL_MS)
    await opened.shows_what_the_database_holds(app)
    await expect(opened.indicator).to_have_text("Offline")

    await app.execute(SET_PROGRESS, host.EXECUTION, 82)
    await processes.begin(DELIVERED, ["--port", delivered.url.rpartition(":")[2]]).ready()
    await opened.page.clock.fast_forward(LONGEST_BACKOFF_MS)
    await opened.live()
    await opened.shows_what_the_database_holds(app)
    await app.execute(SET_PROGRESS, host.EXECUTION, 83)
    await expect(opened.row()).to_contain_text(" 83 %")
    states = await opened.page.evaluate("states")
    assert states[:2] == ["Connecting…", "Offline"]
    assert set(states[2:]) <= {"Connecting…", "Polling", "Live"}


async def test_where_websockets_and_event_streams_are_blocked_changes_come_by_long_poll_until_they_are_not(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    blocked = True

    async def refuse(socket: WebSocketRoute) -> None:
        if blocked:
            await socket.close(code=UNREACHABLE)
        else:
            socket.connect_to_server()

    await context.route_web_socket(re.compile("/ws/"), refuse)
    await context.route(re.compile("/api/v1/events"), lambda route: route.abort())
    await context.clock.install()
    opened = await tab(context, delivered.url)
    await expect(opened.indicator).to_have_text("Polling")
    await app.execute(SET_PROGRESS, host.EXECUTION, 83)
    await expect(opened.row()).to_contain_text(" 83 %")
    await opened.page.evaluate(TRACE)
    blocked = False
    await opened.page.clock.fast_forward(LONGEST_BACKOFF_MS)
    await opened.live()
    await app.execute(SET_PROGRESS, host.EXECUTION, 84)
    await expect(opened.row()).to_contain_text(" 84 %")
    assert await opened.page.evaluate("states") == ["Live"]


async def test_what_cannot_be_replayed_is_fetched(
    context: BrowserContext, processes: Services, built: Path, app: asyncpg.Connection
) -> None:
    assert built.exists()
    service = await processes.start(app=DELIVERED, max_replay=1)
    opened = await (await tab(context, service.url)).live()
    greetings: list[str] = []
    opened.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: greetings.append(str(frame))))
    await context.set_offline(True)
    await expect(opened.indicator).to_have_text("Offline")
    await changes_of_every_kind(app)
    before = len(opened.asked)
    await context.set_offline(False)
    await opened.live()
    await opened.shows_what_the_database_holds(app)
    assert '"outcome":"resync"' in greetings[0]
    # The statistics are sent with each new connection: where they come first, there is nothing left to fetch.
    assert "/api/v1/executions?limit=20" in opened.asked[before:]


async def test_a_token_that_is_refused_leads_to_the_login(context: BrowserContext, delivered: ServiceProcess) -> None:
    forged = token(claims(sub=str(host.USER1)), key="somebody else's secret, which is long enough")
    opened = await tab(context, delivered.url, forged)
    field = opened.page.get_by_label("Token")
    await expect(field).to_be_visible()
    await opened.has_hung_up()
    assert await opened.page.evaluate("sessionStorage.length") == 0
    await field.fill(TOKENS["user1"])
    await opened.page.keyboard.press("Enter")
    await opened.live()


async def test_a_network_that_goes_and_a_page_that_sleeps_cost_nothing(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    opened = await (await tab(context, delivered.url)).live()
    await opened.page.evaluate(TRACE)
    await context.set_offline(True)
    await expect(opened.indicator).to_have_text("Offline")
    await changes_of_every_kind(app)
    await context.set_offline(False)
    await opened.live()
    await opened.shows_what_the_database_holds(app)
    # The browser has said so: nobody waited for an attempt to fail, or for the next one to be due.
    assert await opened.page.evaluate("states") == ["Offline", "Connecting…", "Live"]

    chromium = await context.new_cdp_session(opened.page)
    await chromium.send("Page.setWebLifecycleState", {"state": "frozen"})
    await app.execute(SET_PROGRESS, host.EXECUTION, 85)
    await chromium.send("Page.setWebLifecycleState", {"state": "active"})
    await expect(opened.row()).to_contain_text(" 85 %")
    await opened.live()


async def test_a_token_expires_and_nobody_notices(
    context: BrowserContext, processes: Services, built: Path, app: asyncpg.Connection
) -> None:
    assert built.exists()
    service = await processes.start(app=DELIVERED, expiry_grace=0)
    expiry = int(time.time()) + 9
    opened = await (await tab(context, service.url, token(claims(sub=str(host.USER1), exp=expiry)))).live()
    await opened.page.evaluate(TRACE)
    # The application has renewed its token, as it does; the client asks for it when the server says that the old one ends.
    await opened.page.evaluate("token => sessionStorage.setItem('token', token)", TOKENS["user1"])
    await opened.page.wait_for_function("(at) => Date.now() > at", arg=expiry * 1000 + 500)
    await app.execute(SET_PROGRESS, host.EXECUTION, 84)
    await expect(opened.row()).to_contain_text(" 84 %")
    assert await opened.page.evaluate("states") == []
    assert len(opened.sockets) == 1
    assert not opened.sockets[0].is_closed()


async def test_a_page_that_comes_back_from_the_cache_of_the_browser_goes_on_where_it_was(
    delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    """Left, it gives up its connection, with which some browsers let no page in; shown again, it opens another."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=require("browser"), args=ARGUMENTS, ignore_default_args=["--disable-back-forward-cache"]
        )
        context = await browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        opened = await (await tab(context, delivered.url)).live()
        await opened.page.evaluate("globalThis.kept = 'kept'")
        await opened.page.goto(f"{delivered.url}/healthz")
        await app.execute(SET_PROGRESS, host.EXECUTION, 86)
        await opened.page.go_back(wait_until="commit")
        await expect(opened.row()).to_contain_text(" 86 %")
        await opened.live()
        assert await opened.page.evaluate("globalThis.kept") == "kept"
        await browser.close()
