"""The client's example, built with the package as it is published, while all is well: live, in two tabs, switched, logged out."""

import asyncio
import json
import re
import statistics
from collections.abc import Callable

import asyncpg
import pytest
from playwright.async_api import BrowserContext, Route, expect

from demo import host
from tests.browser.conftest import PATIENCE_MS, TOKENS
from tests.browser.dashboard import PAINT, SET_PROGRESS, tab
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.needs("browser", "node")

WINDOW_MS = 250
"""A query is fetched once in it at most."""
LATEST_OF_USER2 = """
select e.id::text from workflow_execution e join workflow w on w.id = e.workflow_id
where w.owner_id = $1 and e.started_at is not null order by e.started_at desc limit 1
"""
CHANGES = 1_000
COMMIT_EACH = """
do $$
begin
    for number in 2..{changes} loop
        update workflow_execution set progress = number % 90 where id = '{row}';
        commit;
    end loop;
    update workflow_execution set progress = 99, current_node = 'last' where id = '{row}';
end
$$
"""


async def test_a_row_changed_with_sql_is_painted_and_how_long_that_takes_is_reported(
    context: BrowserContext,
    delivered: ServiceProcess,
    app: asyncpg.Connection,
    record_property: Callable[[str, object], None],
    pytestconfig: pytest.Config,
) -> None:
    await context.add_init_script(path=PAINT)
    opened = await (await tab(context, delivered.url)).live()
    for progress in range(41, 72):
        await app.execute(SET_PROGRESS, host.EXECUTION, progress)
        await expect(opened.row()).to_contain_text(f" {progress} %")
    await opened.page.wait_for_function("paints.length === 31")
    paints = await opened.page.evaluate("paints")
    assert [paint["progress"] for paint in paints] == list(range(41, 72))
    assert {paint["id"] for paint in paints} == {str(host.EXECUTION)}
    waits = [paint["milliseconds"] for paint in paints]
    median = statistics.median(waits)
    record_property("capture_to_paint_ms", {"median": round(median, 1), "highest": round(max(waits), 1)})
    if terminal := pytestconfig.pluginmanager.get_plugin("terminalreporter"):
        terminal.write_line(f" from capture to paint: median {median:.1f} ms, highest {max(waits):.1f} ms")
    # It came by the one connection: fetched was the first load, what follows the first `ready`, and what was in doubt then.
    assert len(opened.sockets) == 1
    assert opened.asked.count("/api/v1/executions?limit=20") < 6


async def test_two_tabs_show_what_is_their_own_users(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    first = await (await tab(context, delivered.url)).live()
    second = await (await tab(context, delivered.url)).live()
    other = await (await tab(context, delivered.url, TOKENS["user2"])).live()
    theirs = await app.fetchval(LATEST_OF_USER2, host.USER2)
    await app.execute(SET_PROGRESS, host.EXECUTION, 73)
    await app.execute("update workflow_execution set progress = 74 where id = $1::text::uuid", theirs)
    for one in (first, second):
        await expect(one.row()).to_contain_text(" 73 %")
        await one.shows_what_the_database_holds(app)
    await expect(other.row(theirs)).to_contain_text(" 74 %")
    await other.shows_what_the_database_holds(app, host.USER2)
    await first.page.close()
    await app.execute(SET_PROGRESS, host.EXECUTION, 75)
    await expect(second.row()).to_contain_text(" 75 %")
    assert [len(one.sockets) for one in (first, second, other)] == [1, 1, 1]


async def test_a_burst_of_a_thousand_changes_causes_one_request_in_a_quarter_of_a_second_at_most(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    opened = await (await tab(context, delivered.url)).live()
    # Of a list by status the client cannot know what belongs to it: each change makes it out of date.
    await opened.page.get_by_label("Status").select_option("running")
    await expect(opened.row()).to_be_visible()
    opened.asked.clear()
    received, all_received = [0], asyncio.Event()

    def count(frame: str | bytes) -> None:
        received[0] += str(frame).count('"execution-updated"')
        if received[0] >= CHANGES:
            all_received.set()

    opened.sockets[0].on("framereceived", count)
    begun = await opened.page.evaluate("performance.now()")
    await app.execute(COMMIT_EACH.format(changes=CHANGES, row=host.EXECUTION))
    await expect(opened.row()).to_contain_text(" 99 %")
    await expect(opened.row()).to_contain_text("last")
    await asyncio.wait_for(all_received.wait(), PATIENCE_MS / 1000)

    assert received == [CHANGES]
    starts = await opened.page.evaluate(
        """(begun) => performance.getEntriesByType("resource")
            .filter(({ name, startTime }) => name.includes("status=running") && startTime > begun)
            .map(({ startTime }) => startTime)""",
        begun,
    )
    # So many are allowed in the time from the first to the last; the browser's note of a start may come a little late.
    assert 1 <= len(starts) <= (starts[-1] - starts[0] + WINDOW_MS / 2) / WINDOW_MS + 1
    # And no other query was fetched at all: what the messages say was put into the cache.
    assert set(opened.asked) == {"/api/v1/executions?limit=20&status=running"}


async def test_the_switch_leads_to_polling_and_back(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    opened = await tab(context, delivered.url, query="?mode=polling")
    await expect(opened.indicator).to_have_text("Polling")
    await expect(opened.row()).to_contain_text(" 40 %")
    await opened.switch.check()
    await opened.live()
    await app.execute(SET_PROGRESS, host.EXECUTION, 76)
    await expect(opened.row()).to_contain_text(" 76 %")
    assert len(opened.sockets) == 1

    await opened.page.clock.install()
    await opened.switch.uncheck()
    await expect(opened.indicator).to_have_text("Polling")
    await opened.has_hung_up()
    await app.execute(SET_PROGRESS, host.EXECUTION, 77)
    before = len(opened.asked)
    await expect(opened.row()).to_contain_text(" 76 %")
    await opened.page.clock.fast_forward(10_000)
    await expect(opened.row()).to_contain_text(" 77 %")
    assert set(opened.asked[before:]) == {"/api/v1/executions?limit=20"}

    await app.execute(SET_PROGRESS, host.EXECUTION, 78)
    await opened.switch.check()
    await opened.live()
    await expect(opened.row()).to_contain_text(" 78 %")
    assert len(opened.sockets) == 2


async def test_while_both_are_compared_it_is_live_and_polls_as_well(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    await context.clock.install()
    opened = await (await tab(context, delivered.url, query="?mode=both")).live()
    await app.execute(SET_PROGRESS, host.EXECUTION, 76)
    await expect(opened.row()).to_contain_text(" 76 %")
    await opened.page.wait_for_load_state("networkidle")
    async with opened.page.expect_request(re.compile(r"/api/v1/executions\?")):
        await opened.page.clock.fast_forward(10_000)
    await expect(opened.indicator).to_have_text("Live")
    assert len(opened.sockets) == 1


async def test_logging_out_closes_the_socket_and_clears_cursor_and_cache(
    context: BrowserContext, delivered: ServiceProcess, app: asyncpg.Connection
) -> None:
    opened = await (await tab(context, delivered.url)).live()
    await app.execute(SET_PROGRESS, host.EXECUTION, 79)
    await expect(opened.row()).to_contain_text(" 79 %")
    await opened.page.get_by_role("button", name="Log out").click()
    token = opened.page.get_by_label("Token")
    await expect(token).to_be_visible()
    await opened.has_hung_up()
    assert await opened.page.evaluate("[{...sessionStorage}, {...localStorage}, document.cookie]") == [{}, {}, ""]

    # The next to log in here gets no answers yet: what he sees now is what was left.
    answering = asyncio.Event()

    async def held(route: Route) -> None:
        await answering.wait()
        await route.continue_()

    await opened.page.route(re.compile("/api/v1/"), held)
    greetings: list[str] = []
    opened.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: greetings.append(str(frame))))
    await token.fill(TOKENS["user1"])
    await opened.page.keyboard.press("Enter")
    await expect(opened.indicator).to_have_text("Live")
    await expect(opened.page.get_by_role("region", name="Executions", exact=True)).to_contain_text("Loading")
    await expect(opened.rows).to_have_count(0)
    assert "since" not in opened.sockets[-1].url
    greeting = json.loads(greetings[0])
    ready = greeting[0] if isinstance(greeting, list) else greeting
    assert (ready["type"], ready["data"]["outcome"]) == ("ready", "fresh")
    answering.set()
    await opened.live()
    await opened.shows_what_the_database_holds(app)
