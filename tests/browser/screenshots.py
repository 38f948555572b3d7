"""The pictures in docs/images, taken of a running demo: `python -m tests.browser.screenshots http://127.0.0.1:8000`.

Not a test. Takes a minute and a half, because the chart shows a minute.
"""

import argparse
import asyncio
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from tests.browser.conftest import ARGUMENTS
from tests.support.database import ROOT
from tests.support.requirements import found

IMAGES = ROOT / "docs" / "images"
MINUTE_MS = 62_000
WIDE = {"width": 1440, "height": 1160}
PHONE = {"width": 360, "height": 780}


async def opened(browser: Browser, url: str, scheme: str, size: dict[str, int]) -> Page:
    """The page, live."""
    context = await browser.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=2 if size is PHONE else 1,
    )
    page = await context.new_page()
    await page.goto(url)
    await page.locator("#summary", has_text="3 of 3 connections live").wait_for()
    return page


async def take(url: str, folder: Path) -> None:
    """Takes all pictures."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found("browser"), args=ARGUMENTS)
        page = await opened(browser, url, "light", WIDE)
        await page.wait_for_timeout(MINUTE_MS)
        await page.screenshot(path=folder / "dashboard-light.png")

        await page.emulate_media(color_scheme="dark")
        await page.screenshot(path=folder / "dashboard-dark.png")

        await page.emulate_media(color_scheme="light")
        await page.locator("#inspector-words").fill("execution-updated")
        await page.locator("#inspector-list").focus()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        await page.locator("#polling").scroll_into_view_if_needed()
        await page.evaluate("document.getElementById('polling').scrollIntoView()")
        await page.screenshot(path=folder / "stream.png")

        await page.evaluate("scrollTo(0, 0)")
        await page.get_by_role("button", name="Cut the connection of user1").click()
        await page.locator("[data-account=user1] .story", has_text="Next attempt in 3").wait_for()
        await page.screenshot(path=folder / "disconnected.png")
        await page.context.close()

        page = await opened(browser, url, "light", PHONE)
        await page.wait_for_timeout(MINUTE_MS / 3)
        await page.screenshot(path=folder / "phone-overview.png")
        await page.evaluate("document.querySelector('.pane').scrollIntoView()")
        await page.screenshot(path=folder / "phone-pane.png")
        await browser.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Pictures of a running demo.")
    parser.add_argument("url")
    parser.add_argument("--folder", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(arguments.url, arguments.folder))


if __name__ == "__main__":
    main()
