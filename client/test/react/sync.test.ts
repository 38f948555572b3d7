/** What the feed says, and what becomes of the cache. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { allKeys, checkRules, type Rules } from "../../src/react/rules.js";
import { keep, show } from "../support/cache.js";
import { execution, message, TIME, updated } from "../support/messages.js";

const RULES: Rules = {
  events: {
    "execution-updated": [["executions"]],
    "dashboard-stats-update": { replace: [["stats"]] },
    "agent-task-update": {
      invalidate: ({ data }) => [["tasks", data.execution_id]],
      within: [["tasks"]],
    },
  },
  sources: { "public.workflow_execution": [["executions"]], "public.connector_call": [["connectors"]] },
};
const KEYS = [["executions"], ["stats"], ["tasks", "e1"], ["tasks", "e2"], ["connectors"], ["profile"]];

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => void vi.useRealTimers());

/** Everything is shown; says which of it was fetched since. */
async function shown(options: Parameters<typeof keep>[1] = {}) {
  const kept = keep(RULES, options);
  const queries = KEYS.map((key) => ({ key, ...show(kept.client, key, () => ({ n: 1 })) }));
  await vi.advanceTimersByTimeAsync(1_000);
  const counts = queries.map(({ begun }) => begun.length);
  const fetched = () =>
    queries.filter(({ begun }, n) => begun.length > (counts[n] ?? 0)).map(({ key }) => key.join("/"));
  return { ...kept, queries, fetched };
}

const MAPPED = ["executions", "stats", "tasks/e1", "tasks/e2", "connectors"];

test("a rule may compute its keys from the message", async () => {
  const { feed, fetched, end } = await shown();
  const task = { task_id: "t", execution_id: "e2", agent: null, task_type: null, status: null } as never;
  feed.say(message("agent-task-update", task));
  await vi.advanceTimersByTimeAsync(10);
  expect(fetched()).toEqual(["tasks/e2"]);
  end();
});

test("a rule that computes its keys without naming their prefixes is refused at once", () => {
  expect(() => checkRules({ events: { "execution-updated": { invalidate: () => [] } } })).toThrow(/within/);
  expect(allKeys(RULES)).toContainEqual(["tasks"]);
});

describe("resync", () => {
  test("fetches everything that is mapped, at a random moment within the time that was given", async () => {
    const { feed, fetched, end } = await shown({ random: () => 0.25 });
    feed.tell("resync", { reason: "epoch", sources: null, spread_ms: 4_000 });
    await vi.advanceTimersByTimeAsync(999);
    expect(fetched()).toEqual([]);
    await vi.advanceTimersByTimeAsync(2);
    expect(fetched()).toEqual(MAPPED);
    end();
  });

  test("of some tables fetches what shows them, and of one that is not mapped everything: it may be anything", async () => {
    const { feed, fetched, end } = await shown();
    feed.tell("resync", { reason: "capture-error", sources: ["public.connector_call"], spread_ms: 10 });
    await vi.advanceTimersByTimeAsync(10);
    expect(fetched()).toEqual(["connectors"]);
    feed.tell("resync", { reason: "capture-error", sources: ["public.unknown"], spread_ms: 10 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(fetched()).toEqual(MAPPED);
    end();
  });

  test("that is known from ready alone waits for the message that says how much time there is", async () => {
    const { feed, fetched, end } = await shown();
    feed.join("resync");
    feed.tell("resync", { reason: "epoch", sources: null, spread_ms: 60_000 });
    await vi.advanceTimersByTimeAsync(29_000);
    expect(fetched()).toEqual([]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(fetched()).toEqual(MAPPED);
    end();
  });

  test("without that message it is done all the same", async () => {
    const { feed, fetched, end } = await shown();
    feed.join("resync");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(fetched()).toEqual(MAPPED);
    end();
  });

  test("that is repeated while one waits is not put off by it", async () => {
    const { feed, fetched, end } = await shown();
    for (let n = 0; n < 12; n++) {
      feed.tell("resync", { reason: "lagging", sources: null, spread_ms: 10_000 });
      await vi.advanceTimersByTimeAsync(500);
    }
    expect(fetched()).toEqual(MAPPED);
    end();
  });
});

describe("joining", () => {
  test("for the first time fetches what was fetched before it: it may have missed a change", async () => {
    const { feed, fetched, end } = await shown();
    feed.join("first");
    await vi.advanceTimersByTimeAsync(10);
    expect(fetched()).toEqual(MAPPED);
    end();
  });

  test.each(["fresh", "replayed"] as const)(
    "with everything that was missed (%s) fetches nothing",
    async (outcome) => {
      const { feed, fetched, end } = await shown();
      feed.join(outcome);
      await vi.advanceTimersByTimeAsync(5_000);
      expect(fetched()).toEqual([]);
      end();
    },
  );

  test("as another user leaves nothing of the former one, and fetches what is shown", async () => {
    const { client, feed, queries, end } = await shown();
    client.setQueryData(["executions", "hidden"], ["secret"]);
    feed.tell("resync", { reason: "epoch", sources: null, spread_ms: 60_000 });
    feed.join("resync", { anotherUser: true });
    expect(client.getQueryData(["executions", "hidden"])).toBeUndefined();
    expect(client.getQueryData(["profile"])).toBeUndefined();
    await vi.advanceTimersByTimeAsync(10);
    expect(queries.map(({ begun }) => begun.length)).toEqual(KEYS.map(() => 2));
    end();
  });
});

test("rows-changed fetches what shows the table", async () => {
  const { feed, fetched, end } = await shown();
  feed.say(message("rows-changed", { source: "public.connector_call", reason: "bulk", count: 20_000 }));
  await vi.advanceTimersByTimeAsync(10);
  expect(fetched()).toEqual(["connectors"]);
  end();
});

test("a row without a rule of its own fetches what shows its table", async () => {
  const { feed, fetched, end } = await shown();
  feed.say(
    message("row-changed", {
      source: "public.workflow_execution",
      op: "update",
      key: { id: "e1" },
      row: {},
      before: {},
    }),
  );
  await vi.advanceTimersByTimeAsync(10);
  expect(fetched()).toEqual(["executions"]);
  end();
});

test("a message that is not understood still says that something has changed, if its type is known", async () => {
  const { feed, fetched, end } = await shown();
  feed.tell("unreadable", { reason: "", type: "from-the-future", cursor: null });
  feed.tell("unreadable", { reason: "", type: null, cursor: null });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(fetched()).toEqual([]);
  feed.tell("unreadable", { reason: "", type: "execution-updated", cursor: null });
  await vi.advanceTimersByTimeAsync(10);
  expect(fetched()).toEqual(["executions"]);
  feed.tell("unreadable", { reason: "", type: "resync", cursor: null });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(fetched()).toEqual(MAPPED);
  end();
});

test("statistics are put in place of what was fetched", async () => {
  const { client, feed, fetched, end } = await shown();
  const timestamp = new Date(Date.now() + 1).toISOString().replace("Z", "000Z");
  feed.say(message("dashboard-stats-update", { n: 2 } as never, { timestamp }));
  expect(client.getQueryData(["stats"])).toEqual({ n: 2 });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(fetched()).toEqual([]);
  end();
});

test("a resync that waits is forgotten with everything else", async () => {
  const { feed, sync, fetched, end } = await shown();
  feed.tell("resync", { reason: "epoch", sources: null, spread_ms: 1_000 });
  sync.dispose();
  feed.say(updated("1", execution(), { timestamp: TIME }));
  await vi.advanceTimersByTimeAsync(5_000);
  expect(fetched()).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
  end();
});
