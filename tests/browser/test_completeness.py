"""Nothing is missing and nothing is stale: the first load joins the stream, a refetch replaces what could not be replayed."""

import asyncio
import json
import re

import asyncpg
import pytest
from playwright.async_api import Browser, Locator, Page, Route, WebSocketRoute, expect

from demo import host
from tests.browser.conftest import PATIENCE_MS, TOKENS, opened
from tests.support.service import ServiceProcess, Services

pytestmark = pytest.mark.needs("browser")

SET_PROGRESS = "update workflow_execution set progress = $2 where id = $1"
OWNED = """
select count(*) from workflow_execution e join workflow w on w.id = e.workflow_id where w.owner_id = $1
"""
UNKNOWN = """addEventListener("DOMContentLoaded", () => {
    globalThis.unknown = [];
    const note = (what, shown) => { if (shown && !unknown.includes(what)) unknown.push(what); };
    const find = (selector) => document.querySelector(selector);
    new MutationObserver(() => {
        note("an admin's rows", find("[data-account=admin] .tiles:not([hidden])"));
        note("a share of nothing", find("#figure-screen-worst").textContent.endsWith("\N{EN DASH}"));
        note("an empty statement", !find("#try-statement").hidden && find("#try-sql").textContent === "");
    }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
});"""
LIVE = "3 of 3 connections live"


def pane(page: Page, name: str) -> Locator:
    return page.locator(f'[data-account="{name}"]')


def row(page: Page) -> Locator:
    return pane(page, "user1").locator(f'[data-row="{host.EXECUTION}"]')


async def test_the_first_load_brings_what_nobody_has_changed(page: Page, app: asyncpg.Connection) -> None:
    for name, user in (("user1", host.USER1), ("user2", host.USER2)):
        owned = await app.fetchval(OWNED, user)
        await expect(pane(page, name)).to_contain_text(f"Executions: the latest 8 of {owned}")
        await expect(pane(page, name).locator(".tile", has_text="Executions").locator("dd")).to_have_text(str(owned))
    await expect(pane(page, "admin")).to_contain_text("Owns no row.")
    await expect(pane(page, "admin").get_by_role("heading", name="System")).to_be_visible()
    await expect(pane(page, "user1").get_by_role("heading", name="System")).to_be_hidden()


async def test_nothing_is_shown_before_it_is_known(browser: Browser, service: ServiceProcess) -> None:
    async with opened(browser, "about:blank") as (page, watch):
        watch.admit(service.url)
        await page.add_init_script(UNKNOWN)
        await page.goto(service.url)
        await expect(page.locator("#summary")).to_have_text(LIVE)
        await expect(page.locator("#try-sql")).to_contain_text("update workflow_execution")
        await expect(pane(page, "admin").get_by_role("heading", name="System")).to_be_visible()
        assert await page.evaluate("unknown") == []


async def test_tiles_move_with_the_rows(page: Page, app: asyncpg.Connection) -> None:
    running = pane(page, "user1").locator(".tile", has_text="Running").locator("dd")
    before = int(await running.inner_text())
    await app.execute("update workflow_execution set status = 'paused' where id = $1", host.EXECUTION)
    await expect(running).to_have_text(str(before - 1))


async def test_more_than_is_worth_replaying_is_fetched_anew(
    browser: Browser, processes: Services, app: asyncpg.Connection
) -> None:
    service = await processes.start(demo_tokens=json.dumps(TOKENS), max_replay=2)
    async with opened(browser, service.url) as (page, _):
        await expect(page.locator("#summary")).to_have_text(LIVE)
        await page.get_by_role("button", name="Cut the connection of user1").click()
        await expect(pane(page, "user1").locator(".state")).to_have_text("offline")
        for progress in (51, 52, 53):
            await app.execute(SET_PROGRESS, host.EXECUTION, progress)
        await page.get_by_role("button", name="Reconnect now: user1").click()
        await expect(pane(page, "user1").locator(".story")).to_contain_text("too much was missed to replay")
        await expect(row(page)).to_contain_text("53 %")
        await expect(page.locator("#figure-outcomes")).to_contain_text("0 fresh, 0 replayed, 1 resync")
        await app.execute(SET_PROGRESS, host.EXECUTION, 54)
        await expect(row(page)).to_contain_text("54 %")


async def test_a_truncated_table_is_empty_here_as_well(page: Page, app: asyncpg.Connection) -> None:
    await app.execute("truncate workflow_execution cascade")
    await expect(pane(page, "user1")).to_contain_text("No rows yet.")
    await expect(pane(page, "user2")).to_contain_text("No rows yet.")
    await expect(page.locator("#panes [data-row]")).to_have_count(0)


async def test_many_refetches_in_the_midst_of_changes_end_with_what_the_database_holds(
    page: Page, app: asyncpg.Connection
) -> None:
    workflow = "select id from workflow where owner_id = $1 and id <> $2 limit 1"
    given = await app.fetchval(workflow, host.USER1, host.WORKFLOW)
    refetching = pane(page, "user1").locator(".story", has_text="fetching everything anew")
    states = await page.evaluate_handle("""() => {
        const seen = [];
        const badge = document.querySelector('[data-account="user1"] .state');
        new MutationObserver(() => seen.push(badge.textContent)).observe(badge, { childList: true, subtree: true });
        return seen;
    }""")
    for progress in range(1, 41):
        if progress % 10 == 5:
            owner = host.USER2 if progress % 20 == 5 else host.USER1
            await app.execute("update workflow set owner_id = $2 where id = $1", given, owner)
        await app.execute(SET_PROGRESS, host.EXECUTION, progress)
        await expect(row(page)).to_contain_text(f"{progress} %")
    await expect(refetching).to_have_count(0)
    assert "refetching" in await states.json_value()
    for name, user in (("user1", host.USER1), ("user2", host.USER2)):
        await expect(pane(page, name)).to_contain_text(f"of {await app.fetchval(OWNED, user)}")
    await expect(row(page)).to_contain_text("40 %")


async def test_no_older_message_overwrites_a_newer_row_after_everything_was_fetched_anew(
    browser: Browser, service: ServiceProcess, app: asyncpg.Connection
) -> None:
    """What comes between the answer and the new subscription is sent again after it, and must not count before.

    Three changes of one row: the answer knows the first; the second came live while the answer was under way, so the
    list sets it back; the third comes live before the new subscription, which then brings both again, in order.
    """
    mine = await app.fetchval(
        "select e.id from workflow_execution e join workflow w on w.id = e.workflow_id"
        " where w.owner_id = $1 and e.status = 'running' limit 1",
        host.USER2,
    )
    given = await app.fetchval(
        "select id from workflow where owner_id = $1 and id <> $2 limit 1", host.USER1, host.WORKFLOW
    )
    async with opened(browser, "about:blank") as (page, watch):
        watch.admit(service.url)
        changed = pane(page, "user2").locator(f'[data-row="{mine}"]')
        refetching, third_came, resubscribed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        theirs = f"Bearer {TOKENS['user2']}"
        held_up: list[Route] = []
        late: list[asyncio.Future[None]] = []

        def between(client: WebSocketRoute) -> None:
            server = client.connect_to_server()
            # The other panes subscribe anew too, the former owner's for one.
            brings_mine = asyncio.Event()

            async def after_the_third(text: str | bytes) -> None:
                await app.execute(SET_PROGRESS, mine, 93)
                await third_came.wait()
                server.send(text)

            def from_client(text: str | bytes) -> None:
                if '"subscribe"' in str(text) and brings_mine.is_set() and held_up and not late:
                    late.append(asyncio.ensure_future(after_the_third(text)))
                else:
                    server.send(text)

            def from_server(text: str | bytes) -> None:
                client.send(text)
                if str(mine) in str(text):
                    brings_mine.set()
                if '"progress":93' in str(text):
                    third_came.set()
                if '"subscribed"' in str(text) and brings_mine.is_set() and late:
                    resubscribed.set()

            client.on_message(from_client)
            server.on_message(from_server)

        async def held(route: Route) -> None:
            answer = await route.fetch()
            if refetching.is_set() and not held_up and route.request.headers["authorization"] == theirs:
                held_up.append(route)
                await app.execute(SET_PROGRESS, mine, 92)
                await expect(changed).to_contain_text("92 %")
            await route.fulfill(response=answer)

        await page.route_web_socket(re.compile("/ws/dashboard"), between)
        await page.route(re.compile("/api/v1/executions"), held)
        await page.goto(service.url)
        await expect(page.locator("#summary")).to_have_text(LIVE)
        await app.execute(SET_PROGRESS, mine, 91)
        await expect(changed).to_contain_text("91 %")
        refetching.set()
        await app.execute("update workflow set owner_id = $2 where id = $1", given, host.USER2)
        await asyncio.wait_for(resubscribed.wait(), PATIENCE_MS / 1000)
        await app.execute("update agent_task set tokens = 7654321 where execution_id = $1", mine)
        await expect(pane(page, "user2")).to_contain_text("7.7M")
        await expect(changed).to_contain_text("93 %")
        await asyncio.gather(*late)


async def test_a_message_that_comes_twice_counts_once(
    browser: Browser, service: ServiceProcess, app: asyncpg.Connection
) -> None:
    async with opened(browser, "about:blank") as (page, watch):
        watch.admit(service.url)

        def repeat(client: WebSocketRoute) -> None:
            server = client.connect_to_server()

            def forward(text: str | bytes) -> None:
                client.send(text)
                client.send(text)

            server.on_message(forward)

        await page.route_web_socket(re.compile("/ws/dashboard"), repeat)
        await page.goto(service.url)
        await expect(page.locator("#summary")).to_have_text(LIVE)
        await app.execute(SET_PROGRESS, host.EXECUTION, 71)
        await expect(row(page)).to_contain_text("71 %")
        await expect(page.locator("#figure-outcomes")).to_contain_text("1 repeat dropped")
        await expect(page.locator("#figure-total")).to_have_text("1 change drawn")


async def test_the_polled_view_is_out_of_date_where_the_live_one_is_not(page: Page, app: asyncpg.Connection) -> None:
    wrong = page.locator("#poll-polled-wrong")
    await expect(wrong).to_have_text(re.compile("^0 of "))
    requests = await page.locator("#poll-polled-requests").inner_text()
    assert int(requests) >= 3
    await app.execute(SET_PROGRESS, host.EXECUTION, 77)
    await expect(wrong).to_have_text(re.compile("^1 of "))
    line = page.locator("#poll-lines tr.outdated")
    await expect(line).to_contain_text("running, 77 %")
    await expect(line).to_contain_text("running, 40 %, review, $0.12 (out of date)")
    # The check that comes with the poll: everything on the live side is what the database answered.
    await expect(page.locator("#poll-live-wrong")).to_have_text(re.compile(r"^0 of \d{2,} checked$"))


async def test_without_lists_the_view_fills_with_what_comes(
    browser: Browser, service: ServiceProcess, app: asyncpg.Connection
) -> None:
    async with opened(browser, "about:blank") as (page, watch):
        watch.admit(service.url)
        watch.expected = ("404",)

        async def nowhere(route: Route) -> None:
            await route.fulfill(status=404)

        await page.route("**/api/v1/*", nowhere)
        await page.route("**/api/v1/stats/dashboard", nowhere)
        await page.goto(service.url)
        await expect(page.locator("#summary")).to_have_text(LIVE)
        await expect(pane(page, "user1")).to_contain_text("rows appear as they change")
        await expect(page.locator("#polling")).to_contain_text("Not available")
        await app.execute(SET_PROGRESS, host.EXECUTION, 78)
        await expect(row(page)).to_contain_text("78 %")
