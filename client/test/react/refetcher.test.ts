/** How often a query is fetched again, and that it is. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { keep, show, slowly } from "../support/cache.js";
import { message, updated } from "../support/messages.js";

const RULES = { events: { "execution-updated": [["executions"]] } };

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => void vi.useRealTimers());

function gaps(times: readonly number[]): number[] {
  return times.slice(1).map((time, n) => time - (times[n] ?? 0));
}

test("a burst of 1,000 messages causes at most one fetch per query and 250 ms, and one that came after the last", async () => {
  const { client, feed, end } = keep(RULES);
  let version = 0;
  const list = show(
    client,
    ["executions", "list"],
    slowly(20, () => version),
  );
  const detail = show(
    client,
    ["executions", "e1"],
    slowly(20, () => version),
  );
  await vi.advanceTimersByTimeAsync(1_000);
  for (let n = 0; n < 1_000; n++) {
    version = n;
    feed.say(updated(String(n)));
    if (n % 2 === 0) await vi.advanceTimersByTimeAsync(1);
  }
  const last = Date.now();
  await vi.advanceTimersByTimeAsync(1_000);
  for (const { begun, seen } of [list, detail]) {
    // The first is the mount's; half a second of burst leaves room for three more.
    expect(begun.length).toBeGreaterThanOrEqual(3);
    expect(begun.length).toBeLessThanOrEqual(5);
    expect(Math.min(...gaps(begun))).toBeGreaterThanOrEqual(250);
    expect(begun.at(-1)).toBeGreaterThanOrEqual(last - 2);
    expect(seen.at(-1)).toBe(999);
  }
  end();
});

test("a single message is answered at once", async () => {
  const { client, feed, end } = keep(RULES);
  const { begun } = show(client, ["executions"], () => 1);
  await vi.advanceTimersByTimeAsync(1_000);
  feed.say(updated("1"));
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toHaveLength(2);
  end();
});

test("a fetch that is under way is never cancelled, so that one lands under steady change, however slow it is", async () => {
  const { client, feed, end } = keep(RULES);
  const { begun, seen } = show(
    client,
    ["executions"],
    slowly(900, () => Date.now()),
  );
  await vi.advanceTimersByTimeAsync(1_000);
  for (let n = 0; n < 100; n++) {
    feed.say(updated(String(n)));
    await vi.advanceTimersByTimeAsync(50);
  }
  expect(seen.length).toBeGreaterThanOrEqual(5);
  expect(Math.min(...gaps(begun))).toBeGreaterThanOrEqual(900);
  end();
});

test("a message that comes while a fetch is under way causes another one: the first may not have seen it", async () => {
  const { client, feed, end } = keep(RULES);
  let version = 1;
  const { begun, seen } = show(
    client,
    ["executions"],
    slowly(400, () => version),
  );
  await vi.advanceTimersByTimeAsync(100);
  version = 2;
  feed.say(updated("1"));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(begun).toHaveLength(2);
  expect(seen).toEqual([1, 2]);
  end();
});

test("what nobody shows is not fetched, but is when it is shown again", async () => {
  const { client, feed, end } = keep(RULES);
  const first = show(client, ["executions"], () => 1);
  await vi.advanceTimersByTimeAsync(1_000);
  first.hide();
  feed.say(updated("1"));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(first.begun).toHaveLength(1);
  const second = show(client, ["executions"], () => 2);
  await vi.advanceTimersByTimeAsync(10);
  expect(second.begun).toHaveLength(1);
  end();
});

test("what is hidden while it is fetched stays out of date, if a message came meanwhile", async () => {
  const { client, feed, end } = keep(RULES);
  const first = show(
    client,
    ["executions"],
    slowly(100, () => 1),
  );
  await vi.advanceTimersByTimeAsync(10);
  feed.say(updated("1"));
  first.hide();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(client.getQueryState(["executions"])).toMatchObject({ data: 1, isInvalidated: true });
  end();
});

test("a query that is not mapped is left alone, and so is one of a type without a rule", async () => {
  const { client, feed, end } = keep(RULES);
  const { begun } = show(client, ["profile"], () => 1);
  const mapped = show(client, ["executions"], () => 1);
  await vi.advanceTimersByTimeAsync(1_000);
  feed.say(updated("1"), message("pong", {}));
  feed.say(message("dashboard-stats-update", {} as never));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(begun).toHaveLength(1);
  expect(mapped.begun).toHaveLength(2);
  end();
});

test("a fetch that fails is no reason to forget that there is something to fetch", async () => {
  const { client, feed, end } = keep(RULES);
  let fails = false;
  let fetches = 0;
  const { begun, seen } = show(client, ["executions"], async (): Promise<number> => {
    fetches++;
    await new Promise((resolve) => setTimeout(resolve, 300));
    if (fails) throw new Error("503");
    return fetches;
  });
  await vi.advanceTimersByTimeAsync(1_000);
  fails = true;
  feed.say(updated("1"));
  await vi.advanceTimersByTimeAsync(100);
  feed.say(updated("2"));
  await vi.advanceTimersByTimeAsync(150);
  fails = false;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(begun).toHaveLength(3);
  expect(seen.at(-1)).toBe(3);
  end();
});

test("after dispose() nothing is fetched, no timer runs, and what was followed is out of date", async () => {
  const { client, feed, sync, end } = keep(RULES);
  const { begun } = show(client, ["executions"], () => 1);
  await vi.advanceTimersByTimeAsync(1_000);
  feed.say(updated("1"));
  await vi.advanceTimersByTimeAsync(10);
  feed.say(updated("2"));
  sync.dispose();
  feed.say(updated("3"));
  await vi.advanceTimersByTimeAsync(0);
  expect(vi.getTimerCount()).toBe(0);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(begun).toHaveLength(2);
  expect(feed.listening).toBe(0);
  expect(client.getQueryState(["executions"])?.isInvalidated).toBe(true);
  end();
});
