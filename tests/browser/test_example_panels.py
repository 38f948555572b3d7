"""The example's five panels, as an administrator who owns rows sees them: live without a request, and the one with a button."""

import asyncpg
import pytest
from playwright.async_api import BrowserContext, Locator, expect

from demo import host
from tests.browser.dashboard import Dashboard, tab
from tests.support.issuer import claims, token
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.needs("browser", "node")

BOTH = token(claims(sub=str(host.USER1), role="admin"))
PANELS = ["Statistics", "Executions", "System metrics", "Cost analytics", "Analytics"]
RUNNING = """
select count(*) from workflow_execution e join workflow w on w.id = e.workflow_id
where w.owner_id = $1 and e.status = 'running'
"""
CALL = """
with made as (insert into connector (name, provider) values ('Ledger', 'test') returning id)
insert into connector_call (connector_id, latency_ms) select id, 12 from made
"""
CONNECTORS = "/api/v1/admin/connectors"


def panel(opened: Dashboard, name: str) -> Locator:
    return opened.page.get_by_role("region", name=name, exact=True)


def tile(opened: Dashboard, name: str, title: str) -> Locator:
    return panel(opened, name).locator(".tiles div", has=opened.page.get_by_text(title, exact=True)).locator("dd")


async def test_every_panel_follows_its_rows_without_a_request(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    opened = await (await tab(context, delivered.url, BOTH)).live()
    for name in PANELS:
        await expect(panel(opened, name)).to_be_visible()
        await expect(panel(opened, name)).not_to_contain_text("Loading")
    running = await app.fetchval(RUNNING, host.USER1)
    await expect(tile(opened, "Statistics", "Running")).to_have_text(str(running))
    await expect(tile(opened, "System metrics", "Live sessions")).to_have_text("1")
    await opened.page.wait_for_load_state("networkidle")
    spent = await tile(opened, "Cost analytics", "Executions").inner_text()
    before = list(opened.asked)

    await app.execute(CALL)
    await app.execute(
        "update workflow_execution set status = 'paused', cost_usd = cost_usd + 1000 where id = $1", host.EXECUTION
    )
    await expect(tile(opened, "Statistics", "Running")).to_have_text(str(running - 1))
    await expect(tile(opened, "Cost analytics", "Executions")).not_to_have_text(spent)
    await expect(panel(opened, "Analytics").get_by_role("row", name="Ledger")).to_contain_text("12 ms")
    await expect(opened.row()).to_contain_text("paused")
    assert [asked for asked in opened.asked[len(before) :] if asked != "/api/v1/executions?limit=20"] == []


async def test_the_panel_that_never_polled_has_its_button_in_either_mode(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    opened = await tab(context, delivered.url, BOTH, "?mode=polling")
    analytics = panel(opened, "Analytics")
    await expect(analytics.get_by_role("table")).to_be_visible()
    await app.execute(CALL)
    before = opened.asked.count(CONNECTORS)
    await expect(analytics.get_by_role("row", name="Ledger")).to_have_count(0)
    await analytics.get_by_role("button", name="Refresh").click()
    await expect(analytics.get_by_role("row", name="Ledger")).to_be_visible()
    assert opened.asked.count(CONNECTORS) == before + 1
    assert opened.sockets == []
