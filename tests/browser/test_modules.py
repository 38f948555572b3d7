"""The page's own modules where a browser can ask them directly: what a close means, how long to wait, what is remembered."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, Route

from api.closing import CLOSE_CODES
from api.page import STATIC

pytestmark = pytest.mark.needs("browser")


@pytest.fixture
async def blank(browser: Browser) -> AsyncIterator[Page]:
    """An empty page that may import the modules as they lie there: they need no service."""
    context = await browser.new_context()
    await context.route(
        "http://page.test/", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html")
    )
    await context.route("http://page.test/static/**", serve)
    page = await context.new_page()
    await page.goto("http://page.test/")
    yield page
    await context.close()


async def serve(route: Route) -> None:
    """A file of the page's."""
    await route.fulfill(path=STATIC / urlsplit(route.request.url).path.removeprefix("/static/"))


async def ask(page: Page, module: str, expression: str, argument: Any = None) -> Any:
    """What an expression comes to; `m` is the module, `a` the argument."""
    return await page.evaluate(
        f"async (a) => {{ const m = await import('/static/js/{module}.js'); return {expression}; }}", argument
    )


async def test_every_close_code_means_here_what_the_server_says_that_clients_do(blank: Page) -> None:
    for close in CLOSE_CODES:
        verdict = await ask(blank, "policy", "m.verdictOf(a).verdict", close.code)
        if "new token" in close.client or "refresh" in close.client:
            assert verdict == "token", close
        elif "do not" in close.client:
            assert verdict == "stop", close
        elif "retry_after" in close.client:
            assert verdict == "later", close
        else:
            assert verdict == "again", close
    assert await ask(blank, "policy", "m.verdictOf(1006).verdict") == "again"


async def test_delays_double_up_to_a_bound_and_are_spread_over_all_of_it(blank: Page) -> None:
    bounds = await ask(blank, "policy", "[0, 1, 2, 3, 100].map((attempt) => m.backoff(attempt, 1))")
    assert bounds == [500, 1000, 2000, 4000, 30_000]
    assert await ask(blank, "policy", "m.backoff(5, 0)") == 0
    assert await ask(blank, "policy", "[m.postponed(5000, 0), m.postponed(5000, 1)]") == [5000, 7500]


async def test_rows_keep_their_order_when_everything_is_fetched_anew(blank: Page) -> None:
    newest = await ask(
        blank,
        "rows",
        """(() => {
            const rows = new m.Rows("id");
            const row = (id, status, started_at) => ({ id, status, started_at });
            rows.replace([row("done", "completed", "3"), row("new", "running", "2"), row("old", "running", "1")], 0);
            const first = rows.newest(9);
            rows.put(row("done", "completed", "4"), 1);
            rows.remove("old", 1);
            rows.replace([row("new", "running", "2"), row("came", "running", "5"), row("done", "completed", "4")], 2);
            const times = ["done", "old", "never"].map((id) => rows.changedAt(id));
            return [first, rows.newest(9), rows.newest(1), ...times];
        })()""",
    )
    assert newest == [["new", "old", "done"], ["done", "new", "came"], ["done"], 1, 1, None]


async def test_what_is_remembered_is_bounded_and_the_oldest_is_forgotten(blank: Page) -> None:
    answers = await ask(
        blank,
        "recent",
        "((ids) => [1, 2, 1, 3, 2, 1].map((id) => ids.add(id)))(new m.RecentIds(2))",
    )
    assert answers == [True, True, False, True, False, True]
    records = await ask(
        blank,
        "record",
        """((record) => {
            for (let number = 0; number < 5000; number++) record.add("user1", 1, "received", { type: `t${number}` }, 0);
            const find = (name, words) => record.newest(9999, { name, words });
            const [all, others, one] = [find("", ""), find("user2", ""), find("user1", "T4999")];
            return [all.length <= 1200, all[0].message.type, others.length, one.length];
        })(new m.Record())""",
    )
    assert records == [True, "t4999", 0, 1]


async def test_quantiles_are_values_that_were_measured(blank: Page) -> None:
    assert await ask(blank, "recent", "[0, 0.5, 0.99, 1].map((share) => m.quantile([4, 1, 3, 2], share))") == [
        1,
        2,
        4,
        4,
    ]
    assert await ask(blank, "recent", "Number.isNaN(m.quantile([], 0.5))")
