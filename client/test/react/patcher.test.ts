/** Rows of messages in cached queries: never backwards. */

import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Rules } from "../../src/react/rules.js";
import { keep, show, slowly } from "../support/cache.js";
import { execution, message, updated } from "../support/messages.js";

const RULES: Rules = {
  events: {
    "execution-updated": { patch: { keys: [["executions"]], id: "execution_id" } },
    "execution-deleted": { patch: { keys: [["executions"]], id: "execution_id" } },
    "dashboard-stats-update": { replace: [["stats"]] },
  },
};
const START = 1_700_000_000_000;

beforeEach(() => void vi.useFakeTimers({ now: START }));
afterEach(() => void vi.useRealTimers());

/** The server's clock, which is the same as ours here. */
const at = (time: number) => new Date(time).toISOString().replace("Z", "000Z");
const progress = (n: number, time = Date.now(), id = "e1") =>
  updated(`${n}-${time}-${id}`, { progress: n, execution_id: id }, { timestamp: at(time) });

async function listed(rules = RULES, read = () => ({ items: [execution({ progress: 10 })], next: null })) {
  const kept = keep(rules);
  kept.feed.join("fresh");
  const list = show(kept.client, ["executions", "list"], slowly(50, read));
  await vi.advanceTimersByTimeAsync(1_000);
  const shown = () => list.seen.at(-1)?.items.map((row) => row.progress);
  return { ...kept, list, shown };
}

test("a newer row is shown at once, without a fetch", async () => {
  const { feed, list, shown, end } = await listed();
  feed.say(progress(20));
  await vi.advanceTimersByTimeAsync(0);
  expect(shown()).toEqual([20]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(list.begun).toHaveLength(1);
  end();
});

test("an older row does not replace a newer one: it is fetched", async () => {
  const { feed, list, shown, end } = await listed();
  const before = Date.now();
  await vi.advanceTimersByTimeAsync(100);
  feed.say(progress(30), progress(20, before));
  await vi.advanceTimersByTimeAsync(0);
  expect(list.seen.map(({ items }) => items[0]?.progress)).toEqual([10, 30]);
  expect(list.begun).toHaveLength(2);
  expect(shown()).toEqual([30]);
  end();
});

test("a message from before the last fetch landed is doubted: the fetch may have seen more", async () => {
  const { feed, list, end } = await listed();
  feed.say(progress(5, START + 20));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(list.seen.map(({ items }) => items[0]?.progress)).not.toContain(5);
  expect(list.begun).toHaveLength(2);
  end();
});

test("so is one from before the data was put there by the application", async () => {
  const { client, feed, end } = keep(RULES);
  feed.join("fresh");
  await vi.advanceTimersByTimeAsync(1_000);
  client.setQueryData(["executions"], [execution({ progress: 10 })]);
  const { begun, seen } = show(client, ["executions"], () => [execution({ progress: 10 })]);
  feed.say(progress(5, START + 500));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(seen.map((rows) => rows[0]?.progress)).not.toContain(5);
  expect(begun).toHaveLength(1);
  end();
});

test("the fastest message tells how far the clocks are apart, not the slow first one", async () => {
  const { feed, list, end } = await listed();
  feed.join("fresh", { clock: 5_000 });
  feed.say(progress(1, Date.now(), "e9"));
  await vi.advanceTimersByTimeAsync(1_000);
  const { length } = list.begun;
  feed.say(progress(5, Date.now() - 990));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(list.seen.map(({ items }) => items[0]?.progress)).not.toContain(5);
  expect(list.begun).toHaveLength(length + 1);
  end();
});

test("a message that says what is shown already is not doubted, however old it is", async () => {
  const { feed, list, end } = await listed();
  feed.say(progress(10, START));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(list.begun).toHaveLength(1);
  end();
});

test("a fetch that was under way when the message came does not undo it", async () => {
  let inDatabase = 10;
  const { client, feed, list, shown, end } = await listed(RULES, () => ({
    items: [execution({ progress: inDatabase })],
    next: null,
  }));
  void client.refetchQueries({ queryKey: ["executions"] });
  await vi.advanceTimersByTimeAsync(20);
  inDatabase = 20;
  feed.say(progress(20));
  await vi.advanceTimersByTimeAsync(1_000);
  const progresses = list.seen.map(({ items }) => items[0]?.progress);
  expect(progresses.indexOf(20)).toBeGreaterThan(0);
  expect(progresses.slice(progresses.indexOf(20))).not.toContain(10);
  expect(shown()).toEqual([20]);
  end();
});

test("nor does one that was under way before anybody followed it", async () => {
  const client = new QueryClient();
  let inDatabase = 10;
  const list = show(
    client,
    ["executions"],
    slowly(50, () => [execution({ progress: inDatabase })]),
  );
  await vi.advanceTimersByTimeAsync(10);
  const { feed, end } = keep(RULES, { client });
  feed.join("fresh");
  inDatabase = 20;
  feed.say(progress(20));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(list.seen.map((rows) => rows[0]?.progress)).toEqual([20]);
  end();
});

test("nor does a fetch that is cancelled take back what was patched meanwhile", async () => {
  const { client, feed, shown, end } = await listed();
  void client.refetchQueries({ queryKey: ["executions"] });
  await vi.advanceTimersByTimeAsync(20);
  feed.say(progress(20));
  await client.cancelQueries({ queryKey: ["executions"] });
  await vi.advanceTimersByTimeAsync(0);
  expect(shown()).toEqual([20]);
  end();
});

test("a row that is not in a list is fetched with it, but another detail is left alone", async () => {
  const { client, feed, list, end } = await listed();
  const detail = show(client, ["executions", "e2"], () => execution({ execution_id: "e2", progress: 1 }));
  await vi.advanceTimersByTimeAsync(1_000);
  feed.say(progress(7, Date.now(), "e3"));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(list.begun).toHaveLength(2);
  expect(detail.begun).toHaveLength(1);
  feed.say(progress(9, Date.now(), "e2"));
  await vi.advanceTimersByTimeAsync(0);
  expect(detail.seen.at(-1)?.progress).toBe(9);
  end();
});

test("a row that is deleted leaves the list", async () => {
  const { feed, shown, end } = await listed();
  feed.say(message("execution-deleted", execution(), { id: "1", timestamp: at(Date.now()) }));
  await vi.advanceTimersByTimeAsync(0);
  expect(shown()).toEqual([]);
  end();
});

test("a row that was too large to be sent is fetched", async () => {
  const { feed, list, end } = await listed();
  feed.say(updated("1", { status: null, partial: true }, { timestamp: at(Date.now()) }));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(list.begun).toHaveLength(2);
  end();
});

test("a patch leaves the rest as it was: the time of the fetch, and the mark that it is out of date", async () => {
  const { client, feed, end } = await listed();
  const { dataUpdatedAt } = client.getQueryState(["executions", "list"]) ?? {};
  void client.invalidateQueries({ queryKey: ["executions"], refetchType: "none" });
  feed.say(progress(20));
  expect(client.getQueryState(["executions", "list"])).toMatchObject({ dataUpdatedAt, isInvalidated: true });
  end();
});

describe("with a version", () => {
  const rules: Rules = {
    events: {
      "row-changed": {
        patch: {
          keys: [["tasks"]],
          id: "id",
          row: ({ data }) => data.row,
          version: (row) => row.updated_at as string,
        },
      },
    },
  };
  const row = (updated_at: number, n: number) =>
    message(
      "row-changed",
      { source: "public.task", op: "update", key: { id: "t" }, row: { id: "t", n, updated_at }, before: {} },
      { id: `${updated_at}`, timestamp: at(START - 5_000) },
    );

  test("the versions decide, whatever the clocks say: older is dropped, newer is shown, nothing is fetched", async () => {
    const { client, feed, end } = keep(rules);
    feed.join("fresh");
    const { begun, seen } = show(client, ["tasks"], () => [{ id: "t", n: 2, updated_at: 2 }]);
    await vi.advanceTimersByTimeAsync(1_000);
    feed.say(row(1, 1), row(2, 99), row(3, 3));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(seen.map((rows) => rows[0]?.n)).toEqual([2, 3]);
    expect(begun).toHaveLength(1);
    end();
  });
});

describe("statistics", () => {
  const stats = (total: number, time = Date.now()) =>
    message("dashboard-stats-update", { executions: { total } } as never, { timestamp: at(time) });

  test("replace what was fetched, the newest first", async () => {
    const { client, feed, end } = keep(RULES);
    feed.join("fresh");
    let total = 1;
    const { begun, seen } = show(client, ["stats"], () => ({ executions: { total } }));
    await vi.advanceTimersByTimeAsync(1_000);
    total = 2;
    feed.say(stats(2));
    await vi.advanceTimersByTimeAsync(0);
    feed.say(stats(1, START));
    await vi.advanceTimersByTimeAsync(0);
    expect(seen).toEqual([{ executions: { total: 1 } }, { executions: { total: 2 } }]);
    expect(begun).toHaveLength(2);
    end();
  });
});
