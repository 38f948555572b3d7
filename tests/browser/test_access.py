"""The page for everybody: by keyboard, on a phone, without motion, in the dark, and for those who hear it."""

import json
import re
from itertools import pairwise

import asyncpg
import pytest
from playwright.async_api import Browser, Page, expect

from demo import host
from tests.browser.conftest import opened
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.needs("browser")

FOCUSED = """() => {
  const node = document.activeElement;
  if (node === document.body) return null;
  const style = getComputedStyle(node);
  const name = node.id || node.getAttribute("aria-label") || node.textContent.trim();
  return [name, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
}"""

TIMINGS = """() => {
  const seen = [];
  new MutationObserver((all) => seen.push(...all
    .filter(({ target }) => target.dataset.flash)
    .map(({ target }) => getComputedStyle(target).animationTimingFunction)))
    .observe(document.body, { subtree: true, attributeFilter: ["data-flash"] });
  return seen;
}"""

CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (colour) => rgb(colour)
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const style = getComputedStyle(document.documentElement);
  const value = (name) => luminance(style.getPropertyValue(name).trim());
  const ratio = (one, other) => {
    const [light, dark] = [value(one), value(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const texts = ["--text", "--muted", "--accent", "--good", "--bad", "--warn"];
  const grounds = ["--page", "--card", "--sunk"];
  const pairs = texts.flatMap((text) => grounds.map((ground) => [text, ground, ratio(text, ground)]));
  const others = [["--text", "--flash"], ["--bad", "--flash"], ["--on-accent", "--accent"]];
  return [...pairs, ...others.map(([text, ground]) => [text, ground, ratio(text, ground)])];
}"""


async def test_everything_that_can_be_done_can_be_done_by_keyboard(page: Page) -> None:
    reached: dict[str, bool] = {}
    await page.evaluate("document.activeElement.blur()")
    for _ in range(40):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(FOCUSED)
        if focused is None or focused[0] in reached:
            break
        reached[focused[0]] = focused[1]
    controls = await page.locator("button:enabled:visible, select:visible, input:visible, [role=listbox]").all()
    assert len(reached) >= len(controls) > 8
    for name in ("try-cut", "try-restart", "try-bulk", "inspector-words", "inspector-list", "inspector-message"):
        assert name in reached
    assert next(iter(reached)) == "Skip to the users"
    assert "Cut the connection of user2" in reached
    assert all(reached.values()), f"focus cannot be seen on {[name for name, seen in reached.items() if not seen]}"


async def test_the_stream_is_read_with_arrow_keys_and_stands_still_meanwhile(
    page: Page, app: asyncpg.Connection
) -> None:
    await app.execute("update workflow_execution set progress = 81 where id = $1", host.EXECUTION)
    stream = page.locator("#inspector-list")
    await expect(stream.get_by_role("option").first).to_contain_text("execution-updated")
    await stream.focus()
    await page.keyboard.press("ArrowDown")
    chosen = stream.locator("[aria-selected=true]")
    await expect(chosen).to_have_count(1)
    await expect(stream).to_have_attribute("aria-activedescendant", await chosen.get_attribute("id") or "no id")
    shown = json.loads(await page.locator("#inspector-message").inner_text())
    assert (shown["data"]["execution_id"], shown["data"]["progress"]) == (str(host.EXECUTION), 81)
    assert shown["cursor"]

    newest = await stream.get_by_role("option").first.get_attribute("id")
    await app.execute("update workflow_execution set progress = 82 where id = $1", host.EXECUTION)
    await expect(page.locator("#inspector-paused")).to_have_text("Paused; 1 came since")
    await expect(stream.get_by_role("option").first).to_have_attribute("id", newest or "no id")
    await page.keyboard.press("Escape")
    await expect(stream.get_by_role("option").first).not_to_have_attribute("id", newest or "no id")


async def test_the_stream_is_filtered_by_user_and_by_words(page: Page, app: asyncpg.Connection) -> None:
    await app.execute("update workflow_execution set current_node = 'Zebra' where id = $1", host.EXECUTION)
    options = page.locator("#inspector-list").get_by_role("option")
    await expect(options.filter(has_text="execution-updated")).to_have_count(1)
    await page.locator("#inspector-words").fill("zebra UPDATED")
    await expect(options).to_have_count(1)
    await page.locator("#inspector-account").select_option("user2")
    await expect(options).to_have_count(0)
    await expect(page.get_by_text("No message matches.")).to_be_visible()
    await page.locator("#inspector-account").select_option("user1")
    await expect(options).to_have_count(1)


async def test_those_who_hear_the_page_are_told_of_connections_and_never_of_single_changes(
    page: Page, app: asyncpg.Connection
) -> None:
    said = page.get_by_role("status")
    await page.get_by_role("button", name="Cut the connection of user1").click()
    await expect(said).to_have_text(re.compile("user1 is offline: The connection was cut.$"))
    await page.get_by_role("button", name="Reconnect now: user1").click()
    await expect(said).to_have_text("user1 is live again; nothing was missed.")
    await app.execute("update workflow_execution set progress = 83 where id = $1", host.EXECUTION)
    await expect(page.locator(f'[data-row="{host.EXECUTION}"]')).to_contain_text("83 %")
    await expect(said).to_have_text("user1 is live again; nothing was missed.")


async def test_landmarks_headings_and_captions_name_what_is_there(page: Page) -> None:
    for role in ("banner", "main", "contentinfo"):
        await expect(page.get_by_role(role)).to_have_count(1)
    levels = await page.locator("h1, h2, h3, h4").evaluate_all("nodes => nodes.map((node) => Number(node.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    unnamed = await page.locator("table:not(:has(caption:not(:empty)))").count()
    assert unnamed == 0
    ids = await page.locator("[id]").evaluate_all("nodes => nodes.map((node) => node.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("width", [320, 360, 768, 1024, 1440, 1920])
async def test_nothing_sticks_out_at_any_width(browser: Browser, service: ServiceProcess, width: int) -> None:
    async with opened(browser, service.url, viewport={"width": width, "height": 800}) as (page, _):
        await expect(page.locator("#summary")).to_have_text("3 of 3 connections live")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        small = await page.locator("button:visible").evaluate_all(
            "nodes => nodes.filter((node) => node.getBoundingClientRect().height < 24).map((node) => node.textContent)"
        )
        assert small == []
        await expect(page.locator("#poll-live-requests")).to_contain_text("messages")
        clipped = await page.locator(".numbers :is(td, th), .tile dd").evaluate_all(
            "nodes => nodes.filter((node) => node.scrollWidth > node.clientWidth).map((node) => node.textContent)"
        )
        assert clipped == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_every_ground(browser: Browser, service: ServiceProcess, scheme: str) -> None:
    async with opened(browser, service.url, color_scheme=scheme) as (page, _):
        pairs = await page.evaluate(CONTRAST)
        assert [pair for pair in pairs if pair[2] < 4.5] == []
        ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", ground))) < 60) == (scheme == "dark")


async def test_without_motion_nothing_fades(browser: Browser, service: ServiceProcess, app: asyncpg.Connection) -> None:
    async with opened(browser, service.url, reduced_motion="reduce") as (page, _):
        await expect(page.locator("#summary")).to_have_text("3 of 3 connections live")
        timings = await page.evaluate_handle(TIMINGS)
        await app.execute("update workflow_execution set progress = 84 where id = $1", host.EXECUTION)
        await expect(page.locator(f'[data-row="{host.EXECUTION}"]')).to_contain_text("84 %")
        assert set(await timings.json_value()) == {"steps(1)"}
