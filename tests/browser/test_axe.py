"""axe finds nothing serious on the page and in the client's example: in either light, on a phone, connected or not.

Some things stay with people: whether a label is a good one, and whether the order of what is focused makes sense.
"""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from demo import host
from tests.browser.conftest import opened
from tests.browser.dashboard import Dashboard
from tests.support.issuer import claims, token
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.needs("browser", "node")

BOTH = token(claims(sub=str(host.USER1), role="admin"))
"""An administrator who owns rows sees everything that there is."""
GRAVE = ("serious", "critical")
FINDINGS = """async () => {
    const { passes, violations } = await axe.run(document);
    const found = violations.flatMap(({ id, impact, nodes }) => nodes.map(({ html }) => [impact, id, html]));
    return [passes.map(({ id }) => id), found];
}"""
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 780}, "has_touch": True},
}


@pytest.fixture(scope="session")
def axe(client_packages: Path) -> str:
    """Its script, of the version that the lock file names."""
    return (client_packages / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


async def grave(page: Page, axe: str) -> list[Any]:
    """What it finds that matters."""
    await page.evaluate(axe)
    passed, found = await page.evaluate(FINDINGS)
    # It has looked, at colours and at names among others.
    assert {"color-contrast", "button-name", "landmark-one-main"} <= set(passed)
    return [finding for finding in found if finding[0] in GRAVE]


async def test_the_page_live_and_disconnected(browser: Browser, service: ServiceProcess, axe: str) -> None:
    found = {}
    for look, options in LOOKS.items():
        async with opened(browser, service.url, **options) as (page, _):
            await expect(page.locator("#summary")).to_have_text("3 of 3 connections live")
            found[look, "live"] = await grave(page, axe)
            await page.get_by_role("button", name="Cut the connection of user1").click()
            await expect(page.locator("[data-account=user1] .state")).to_have_text("offline")
            found[look, "disconnected"] = await grave(page, axe)
    assert {state: findings for state, findings in found.items() if findings} == {}


async def test_the_example_live_polling_disconnected_and_logged_out(
    browser: Browser, delivered: ServiceProcess, axe: str
) -> None:
    found = {}
    for look, options in LOOKS.items():
        async with opened(browser, f"{delivered.url}/#token={BOTH}", **options) as (page, watch):
            watch.expected = ("net::ERR_", "WebSocket connection to")
            dashboard = await Dashboard(page).live()
            await expect(page.get_by_role("heading", name="Analytics", exact=True)).to_be_visible()
            found[look, "live"] = await grave(page, axe)
            await dashboard.switch.uncheck()
            await expect(dashboard.indicator).to_have_text("Polling")
            found[look, "polling"] = await grave(page, axe)
            await page.context.set_offline(True)
            await dashboard.switch.check()
            await expect(dashboard.indicator).to_have_text("Offline")
            found[look, "offline"] = await grave(page, axe)
            await page.get_by_role("button", name="Log out").click()
            await expect(page.get_by_label("Token")).to_be_visible()
            found[look, "logged out"] = await grave(page, axe)
    assert {state: findings for state, findings in found.items() if findings} == {}
