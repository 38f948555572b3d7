"""What the page may load, whom its two buttons obey, and that a server that is no demonstration has neither."""

import json
import re

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from demo import host
from tests.browser.conftest import TOKENS, Watch, opened
from tests.support.service import ServiceProcess, Services

BUTTONS = ("/demo/restart-relay", "/demo/bulk-update")
COSTS = "select sum(cost_usd) from workflow_execution where workflow_id <> $1"


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name]}"}


async def test_every_file_of_the_page_forbids_what_the_page_does_not_need(service: ServiceProcess) -> None:
    async with httpx.AsyncClient(base_url=service.url) as client:
        for path in ("/", "/static/js/page.js", "/static/css/base.css", "/demo.json"):
            answer = await client.get(path)
            assert answer.status_code == 200
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self';")
            assert "unsafe" not in policy
            assert "http" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert (await client.get("/demo.json")).headers["Cache-Control"] == "no-store"
        html = (await client.get("/")).text
    assert not re.search(r"<style|style=|<script(?![^>]*\bsrc=)|\son\w+=|(?:src|href)=.(?:https?:)?//", html)


@pytest.mark.parametrize("path", BUTTONS)
async def test_a_button_obeys_the_admin_alone(service: ServiceProcess, app: asyncpg.Connection, path: str) -> None:
    before = await app.fetchval(COSTS, host.WORKFLOW)
    async with httpx.AsyncClient(base_url=service.url) as client:
        assert (await client.post(path)).status_code == 401
        assert (await client.post(path, headers=bearer("user1"))).status_code == 403
        elsewhere = {"Origin": "https://elsewhere.example"}
        assert (await client.post(path, headers=bearer("admin") | elsewhere)).status_code == 403
        assert (await client.get(path, headers=bearer("admin"))).status_code == 405
        assert await app.fetchval(COSTS, host.WORKFLOW) == before
        assert (await client.post(path, headers=bearer("admin"))).status_code == 200


async def test_a_server_without_demo_tokens_has_no_buttons(processes: Services) -> None:
    service = await processes.start()
    async with httpx.AsyncClient(base_url=service.url) as client:
        assert (await client.get("/demo.json")).json() == {"tokens": {}}
        for path in BUTTONS:
            assert (await client.post(path, headers=bearer("admin"))).status_code == 404


@pytest.mark.needs("browser")
async def test_a_bulk_update_reaches_every_owner_and_leaves_the_hand_driven_execution_alone(
    page: Page, app: asyncpg.Connection
) -> None:
    changed = await app.fetchval("select count(*) from workflow_execution where workflow_id <> $1", host.WORKFLOW)
    mine = "select cost_usd from workflow_execution where id = $1"
    before = await app.fetchval(mine, host.EXECUTION), await app.fetchval(COSTS, host.WORKFLOW)
    await page.get_by_role("button", name="Run a bulk update").click()
    await expect(page.locator("#try-outcome")).to_contain_text(f"One statement changed {changed} executions")
    await expect(page.locator("#figure-total")).to_have_text(f"{changed} changes drawn")
    assert await app.fetchval(mine, host.EXECUTION) == before[0]
    assert float(await app.fetchval(COSTS, host.WORKFLOW) - before[1]) == pytest.approx(changed * 0.01)


@pytest.mark.needs("browser")
async def test_a_restarted_relay_goes_on_without_a_browser_noticing(
    watched: tuple[Page, Watch], app: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    page, watch = watched
    listeners = (
        "select array_agg(pid) from pg_stat_activity where application_name = 'changefeed listener' and datname = $1"
    )
    name = await admin.fetchval("select current_database()")
    before = await admin.fetchval(listeners, name)
    await page.get_by_role("button", name="Restart the relay").click()
    await expect(page.locator("#try-outcome")).to_contain_text("1 database session of the relay ended")
    await app.execute("update workflow_execution set progress = 88 where id = $1", host.EXECUTION)
    await expect(page.locator(f'[data-row="{host.EXECUTION}"]')).to_contain_text("88 %")
    after = await admin.fetchval(listeners, name)
    assert before != after
    assert len(watch.sockets) == 3


@pytest.mark.needs("browser")
async def test_whoever_pastes_a_token_sees_his_rows_and_the_token_is_nowhere_to_be_found(
    browser: Browser, processes: Services, app: asyncpg.Connection
) -> None:
    service = await processes.start()
    async with opened(browser, service.url) as (page, watch):
        await page.get_by_label("Token of a user").fill("nonsense")
        await page.keyboard.press("Enter")
        first = page.locator("[data-account='Token 1']")
        await expect(first.locator(".state")).to_have_text("stopped")
        await expect(first.locator(".story")).not_to_be_empty()
        await page.get_by_label("Token of a user").fill(TOKENS["user1"])
        await page.get_by_role("button", name="Open a pane").click()
        second = page.locator("[data-account='Token 2']")
        await expect(second.locator(".state")).to_have_text("live")
        await app.execute("update workflow_execution set progress = 89 where id = $1", host.EXECUTION)
        await expect(second.locator(f'[data-row="{host.EXECUTION}"]')).to_contain_text("89 %")
        await expect(page.locator("#try-restart")).to_be_hidden()
        assert await page.get_by_label("Token of a user").input_value() == ""
        assert not [address for address in watch.addresses if TOKENS["user1"] in address]
        assert TOKENS["user1"] not in page.url + await page.content()
        kept = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
        assert json.loads(kept) == [{}, {}, ""]
        watch.expected = ("401",)
