"""One connection for all tabs of a user, in real tabs: the example with `?tabs=shared`, as it is built and delivered."""

import asyncio

import asyncpg
import pytest
from playwright.async_api import BrowserContext, expect

from demo import host
from tests.browser.conftest import PATIENCE_MS, TOKENS
from tests.browser.dashboard import SET_PROGRESS, Dashboard, tab
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.needs("browser", "node")

SHARED = "?tabs=shared"
CHANGES = 60
LISTEN = """(() => {
    // As every tab of the user hears it, whichever of them holds the connection.
    globalThis.heard = [];
    const channel = new BroadcastChannel("changefeed:USER");
    channel.onmessage = ({ data: { kind, name, value } }) => {
        if (kind === "event" && name === "message" && value.type === "execution-updated")
            heard.push([value.id, value.data.progress]);
    };
})()""".replace("USER", str(host.USER1))
HEARD = "[...new Map(heard).values()]"
"""Each change once: what the next holder is sent again has the same id."""


def sockets(tabs: list[Dashboard]) -> list[int]:
    """How many each has opened."""
    return [len(one.sockets) for one in tabs]


async def shown(tabs: list[Dashboard], progress: int) -> None:
    """Waits until all of them show it."""
    for one in tabs:
        await expect(one.row()).to_contain_text(f" {progress} %")


async def three(context: BrowserContext, url: str) -> list[Dashboard]:
    """Tabs of one user. The first holds the connection."""
    return [await (await tab(context, url, query=SHARED)).live() for _ in range(3)]


async def test_one_socket_serves_three_tabs_and_when_its_tab_is_closed_another_goes_on_with_nothing_lost(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    await context.add_init_script(LISTEN)
    tabs = await three(context, delivered.url)
    await app.execute(SET_PROGRESS, host.EXECUTION, 41)
    await shown(tabs, 41)
    assert sockets(tabs) == [1, 0, 0]

    first, *rest = tabs
    listed = [one.asked.count("/api/v1/executions?limit=20") for one in rest]
    half, halfway = range(1, CHANGES // 2), asyncio.Event()

    async def change_it() -> None:
        for progress in half:
            await app.execute(SET_PROGRESS, host.EXECUTION, progress)
        halfway.set()
        for progress in range(half.stop, CHANGES + 1):
            await app.execute(SET_PROGRESS, host.EXECUTION, progress)

    changing = asyncio.create_task(change_it())
    await halfway.wait()
    await first.page.close()
    await changing
    await shown(rest, CHANGES)

    for one in rest:
        await one.live()
        await one.shows_what_the_database_holds(app)
        assert await one.page.evaluate(HEARD) == [41, *range(1, CHANGES + 1)]
    assert sorted(sockets(rest)) == [0, 1]
    (successor,) = (socket for one in rest for socket in one.sockets)
    assert "since=" in successor.url
    # What came from the one that is gone, and what was sent again to the next, was put into the cache, message by message.
    doubts = [one.asked.count("/api/v1/executions?limit=20") - before for one, before in zip(rest, listed, strict=True)]
    assert max(doubts) < CHANGES / 4


async def test_whoever_logs_out_in_the_tab_that_holds_the_connection_takes_it_from_nobody_else(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    first, second, third = tabs = await three(context, delivered.url)
    other = await (await tab(context, delivered.url, TOKENS["user2"], SHARED)).live()
    assert [*sockets(tabs), len(other.sockets)] == [1, 0, 0, 1]
    states = await second.page.evaluate_handle("""() => {
        const seen = [];
        const indicator = document.querySelector("[role=status]");
        new MutationObserver(() => seen.push(indicator.textContent))
            .observe(indicator, { childList: true, characterData: true, subtree: true });
        return seen;
    }""")

    await first.page.get_by_role("button", name="Log out").click()
    await expect(first.page.get_by_label("Token")).to_be_visible()
    await first.has_hung_up()
    await app.execute(SET_PROGRESS, host.EXECUTION, 42)
    await shown([second, third], 42)
    for one in (second, third):
        await one.live()
    assert "Offline" not in await states.json_value()
    assert sorted(sockets([second, third])) == [0, 1]
    await expect(first.rows).to_have_count(0)

    # The same user again, in the same tab: one of the others now.
    await first.page.get_by_label("Token").fill(TOKENS["user1"])
    await first.page.keyboard.press("Enter")
    await first.live()
    await app.execute(SET_PROGRESS, host.EXECUTION, 43)
    await shown([first, second, third], 43)
    assert sorted(sockets(tabs)) == [0, 1, 1]
    assert await other.row().count() == 0
    await other.shows_what_the_database_holds(app, host.USER2)


async def test_when_the_server_comes_back_every_tab_has_what_was_missed(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    """The connection breaks in the tab that holds it, and the others are told."""
    context.set_default_timeout(PATIENCE_MS)
    tabs = await three(context, delivered.url)
    await context.set_offline(True)
    for one in tabs:
        await expect(one.indicator).to_have_text("Offline")
    await app.execute(SET_PROGRESS, host.EXECUTION, 44)
    await context.set_offline(False)
    await shown(tabs, 44)
    for one in tabs:
        await one.live()
        await one.shows_what_the_database_holds(app)
    assert sockets(tabs)[1:] == [0, 0]
