"""The page as people use it: what changes in the database is seen by its owner, whatever becomes of the connection."""

import json
import re
import time

import asyncpg
import jwt
import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from demo import host
from tests.browser.conftest import TOKENS, Watch, opened
from tests.support.issuer import claims, token
from tests.support.service import ServiceProcess, Services

pytestmark = pytest.mark.needs("browser")

MARKS = """() => {
    const seen = [];
    new MutationObserver((all) => seen.push(...all.map(({ target }) => target.dataset.column)))
        .observe(document.getElementById("panes"), { subtree: true, attributeFilter: ["data-flash"] });
    return seen;
}"""
NOTHING = "\N{EN DASH}"
SET_PROGRESS = "update workflow_execution set progress = $2 where id = $1"
OF_USER2 = """
select e.id from workflow_execution e join workflow w on w.id = e.workflow_id
where w.owner_id = $1 and e.status = 'running' limit 1
"""


def expiring() -> str:
    """A token of user1's that is good for a few seconds."""
    return token(claims(sub=str(host.USER1), exp=int(time.time()) + 8))


def jwt_expiry(text: str) -> int:
    """When it expires."""
    return int(jwt.decode(text, options={"verify_signature": False})["exp"])


def pane(page: Page, name: str) -> Locator:
    return page.locator(f'[data-account="{name}"]')


def row(page: Page, name: str, key: object) -> Locator:
    return pane(page, name).locator(f'[data-row="{key}"]')


async def test_a_changed_row_appears_in_its_owners_pane_and_in_no_other(
    watched: tuple[Page, Watch], app: asyncpg.Connection
) -> None:
    page, watch = watched
    other = await app.fetchval(OF_USER2, host.USER2)
    await app.execute(SET_PROGRESS, host.EXECUTION, 73)
    await app.execute(SET_PROGRESS, other, 74)

    await expect(row(page, "user1", host.EXECUTION)).to_contain_text("73 %")
    await expect(row(page, "user2", other)).to_contain_text("74 %")
    await expect(page.locator(f'[data-row="{host.EXECUTION}"]')).to_have_count(1)
    await expect(page.locator(f'[data-row="{other}"]')).to_have_count(1)
    # Not only is it not shown: it never came. user2's later change has come, so nothing earlier is still under way.
    heard = {user: watch.heard_by(user) for user in (host.USER1, host.USER2, host.ADMIN)}
    assert {user for user, frames in heard.items() if str(host.EXECUTION) in frames} == {host.USER1}
    assert {user for user, frames in heard.items() if str(other) in frames} == {host.USER2}
    assert all(heard.values())


async def test_a_cut_connection_says_so_comes_back_and_has_missed_nothing(page: Page, app: asyncpg.Connection) -> None:
    await app.execute(SET_PROGRESS, host.EXECUTION, 50)
    await expect(row(page, "user1", host.EXECUTION)).to_contain_text("50 %")

    await page.get_by_role("button", name="Cut the connection of user1").click()
    await expect(pane(page, "user1").locator(".state")).to_have_text("offline")
    await expect(page.locator("#summary")).to_have_text("2 of 3 connections live")
    await expect(page.locator("#inspector-places tr", has_text="user1")).to_contain_text("offline")
    await app.execute(SET_PROGRESS, host.EXECUTION, 51)
    await app.execute(
        "update workflow_execution set status = 'failed', error_message = 'too hot' where id = $1", host.EXECUTION
    )
    await app.execute("update agent_task set tokens = 987654 where execution_id = $1", host.EXECUTION)
    await expect(row(page, "user1", host.EXECUTION)).to_contain_text("50 %")

    await page.get_by_role("button", name="Reconnect now: user1").click()
    await expect(pane(page, "user1").locator(".state")).to_have_text("live")
    await expect(pane(page, "user1").locator(".story")).to_contain_text("3 missed changes replayed")
    await expect(row(page, "user1", host.EXECUTION)).to_contain_text("failed")
    await expect(row(page, "user1", host.EXECUTION)).to_contain_text("51 %")
    await expect(pane(page, "user1")).to_contain_text("987.7K")
    # It went on from where it was: what had come before was not sent again.
    await expect(page.locator("#figure-outcomes")).to_have_text("0 fresh, 1 replayed, 0 resync; 0 repeats dropped")


async def test_a_cut_connection_comes_back_by_itself(page: Page, app: asyncpg.Connection) -> None:
    await page.get_by_role("button", name="Cut all connections").click()
    await expect(page.locator("#summary")).to_have_text("0 of 3 connections live")
    await expect(page.locator("#summary")).to_have_text("3 of 3 connections live")
    await expect(pane(page, "user1").locator(".story")).to_contain_text("nothing was missed")
    await app.execute(SET_PROGRESS, host.EXECUTION, 61)
    await expect(row(page, "user1", host.EXECUTION)).to_contain_text("61 %")


async def test_the_page_outlives_the_server(
    watched: tuple[Page, Watch], processes: Services, service: ServiceProcess, app: asyncpg.Connection
) -> None:
    page, watch = watched
    watch.expected = ("net::ERR_", "WebSocket connection to")
    service.kill()
    await expect(page.locator("#summary")).to_have_text("0 of 3 connections live")
    await app.execute(SET_PROGRESS, host.EXECUTION, 62)
    port = service.url.rpartition(":")[2]
    await processes.begin(options=["--port", port], demo_tokens=json.dumps(TOKENS)).ready()
    await expect(page.locator("#summary")).to_have_text("3 of 3 connections live")
    await expect(row(page, "user1", host.EXECUTION)).to_contain_text("62 %")


async def test_a_user_who_was_sent_away_is_told_and_does_not_come_back(page: Page, feed: asyncpg.Connection) -> None:
    await feed.execute("select changefeed.kick($1)", str(host.USER2))
    await expect(pane(page, "user2").locator(".state")).to_have_text("stopped")
    await expect(pane(page, "user2").locator(".story")).to_contain_text("administrator")
    await expect(pane(page, "user2").get_by_role("button")).to_be_disabled()
    await expect(page.locator("#summary")).to_have_text("2 of 3 connections live")


async def test_an_expired_token_is_said_so(browser: Browser, processes: Services) -> None:
    service = await processes.start(demo_tokens=json.dumps({"user1": expiring()}), expiry_grace=0)
    async with opened(browser, service.url) as (page, _):
        await expect(pane(page, "user1").locator(".state")).to_have_text("stopped")
        await expect(pane(page, "user1").locator(".story")).to_contain_text("expired")


async def test_a_new_token_in_time_spares_the_interruption(
    browser: Browser, processes: Services, app: asyncpg.Connection
) -> None:
    first = expiring()
    service = await processes.start(demo_tokens=json.dumps({"user1": first}), expiry_grace=0)
    async with opened(browser, "about:blank") as (page, watch):
        watch.admit(service.url)
        answers = iter([{"tokens": {"user1": first}}])

        async def renewed(route: Route) -> None:
            await route.fulfill(json=next(answers, {"tokens": {"user1": TOKENS["user1"]}}))

        await page.route("**/demo.json", renewed)
        await page.goto(service.url)
        await expect(page.locator("#inspector-list")).to_contain_text("subscribed")
        await page.wait_for_function("(at) => Date.now() > at", arg=jwt_expiry(first) * 1000)
        await app.execute(SET_PROGRESS, host.EXECUTION, 65)
        await expect(row(page, "user1", host.EXECUTION)).to_contain_text("65 %")
        assert len(watch.sockets) == 1
        assert TOKENS["user1"] not in await page.content()


async def test_a_deleted_row_leaves_the_board(page: Page, app: asyncpg.Connection) -> None:
    await app.execute(SET_PROGRESS, host.EXECUTION, 63)
    await expect(row(page, "user1", host.EXECUTION)).to_be_visible()
    await app.execute("delete from workflow_execution where id = $1", host.EXECUTION)
    await expect(row(page, "user1", host.EXECUTION)).to_have_count(0)


async def test_what_a_row_holds_is_text_whatever_it_says(page: Page, app: asyncpg.Connection) -> None:
    markup = "<img src=/nowhere onerror=alert(1)><b>bold</b>"
    await app.execute("update workflow_execution set current_node = $2 where id = $1", host.EXECUTION, markup)
    await expect(row(page, "user1", host.EXECUTION).locator('[data-column="step"]')).to_have_text(markup)
    await page.locator("#inspector-list").focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#inspector-message")).to_contain_text(markup)
    assert await page.locator("img, b").count() == 0


async def test_latency_is_measured_from_the_row_to_the_screen(page: Page, app: asyncpg.Connection) -> None:
    await expect(page.locator("#figure-screen")).to_have_text(NOTHING)
    await app.execute(SET_PROGRESS, host.EXECUTION, 64)
    await expect(page.locator("#figure-screen")).to_have_text(re.compile(r"^\d+\sms$|^\d\.\d\ss$"))
    await expect(page.locator("#figure-total")).to_have_text("1 change drawn")
    await expect(page.locator(".chart .dots path[data-series='1']")).to_have_attribute("d", re.compile("^M[^M]*$"))
    await expect(page.get_by_role("img", name=re.compile("half of them on screen within"))).to_be_visible()


async def test_what_changes_is_marked_for_a_moment_also_where_its_column_is_hidden(
    page: Page, app: asyncpg.Connection
) -> None:
    await page.set_viewport_size({"width": 360, "height": 780})
    changed = row(page, "user1", host.EXECUTION)
    await expect(changed.locator('[data-column="step"]')).to_be_hidden()
    marks = await page.evaluate_handle(MARKS)
    await app.execute(
        "update workflow_execution set progress = 66, current_node = 'elsewhere' where id = $1", host.EXECUTION
    )
    await expect(changed).to_contain_text("66 %")
    # The marks are gone before the column is seen: with them, all that has ever changed in it would flash then.
    await expect(page.locator(".board [data-flash]")).to_have_count(0)
    assert {"progress", "step"} <= set(await marks.json_value())


async def test_drift_of_the_numbers_is_shown_to_the_admin(
    browser: Browser, processes: Services, app: asyncpg.Connection
) -> None:
    often = {"statistics_check_interval": 0.2, "system_metrics_interval": 0.2}
    service = await processes.start(demo_tokens=json.dumps(TOKENS), **often)
    async with opened(browser, service.url) as (page, _):
        drift = pane(page, "admin").locator(".pairs > div", has_text="Statistics drift").locator("dd")
        await expect(drift).to_have_text("0")
        await expect(pane(page, "user1").locator(".tile", has_text="Executions")).to_be_visible()
        async with app.transaction():
            await app.execute("set local changefeed.skip = on")
            await app.execute("delete from workflow_execution where id = $1", host.EXECUTION)
        await expect(drift).to_have_text(re.compile("^[1-9]"))
