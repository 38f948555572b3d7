/**
 * The client against the real server and a real PostgreSQL: CHANGEFEED_DEMO names its `demo.json`. Skipped where there is none;
 * the repository's own suite runs it.
 */

import { randomUUID } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import type { Changefeed } from "../src/changefeed.js";
import type { ChangefeedOptions } from "../src/options.js";
import type { Transport } from "../src/state.js";
import { absent, demo, move, nodeIn, open as opened, told } from "./support/demo.js";

const feeds: Changefeed[] = [];

afterEach(() => {
  for (const feed of feeds.splice(0)) feed.stop();
});

function open(user: keyof typeof demo.tokens, options: Partial<ChangefeedOptions> = {}) {
  const feed = opened(user, options);
  feeds.push(feed);
  return feed;
}

describe.skipIf(absent)("against the real server", () => {
  describe.each<Transport>(["websocket", "sse", "poll"])("over %s", (transport) => {
    test("a row that SQL changes reaches its owner, and nobody else", async () => {
      const [owner, stranger] = [
        open("user1", { transports: [transport] }),
        open("user2", { transports: [transport] }),
      ];
      const overheard: unknown[] = [];
      stranger.on("message", (message) => {
        if ("execution_id" in message.data && message.data.execution_id === demo.execution_id)
          overheard.push(message);
      });
      const ready = [owner, stranger].map((feed) => told(feed, "joined", () => true));
      owner.start();
      stranger.start();
      await Promise.all(ready);
      const node = randomUUID();
      const arrived = told(owner, "message", (message) => nodeIn(message) === node);
      await move(node);
      await arrived;
      expect(overheard).toEqual([]);
      expect(owner.getSnapshot().transport).toBe(transport);
    });

    test("what was missed is replayed, each change once, in its order", async () => {
      const feed = open("user1", { transports: [transport] });
      const ready = told(feed, "joined", () => true);
      feed.start();
      await ready;
      feed.stop();
      const nodes = [randomUUID(), randomUUID(), randomUUID()];
      for (const node of nodes) await move(node);
      const seen: unknown[] = [];
      feed.on("message", (message) => {
        const node = nodeIn(message);
        if (node) seen.push(node);
      });
      const again = told(feed, "joined", () => true);
      const arrived = told(feed, "message", (message) => nodeIn(message) === nodes[2]);
      feed.start();
      expect((await again).outcome).toBe("replayed");
      await arrived;
      expect(seen).toEqual(nodes);
    });

    test("a token that is none is refused", async () => {
      const feed = open("user1", { transports: [transport], getToken: () => "nonsense", log: () => {} });
      const refused = told(feed, "refused", () => true);
      feed.start();
      expect((await refused).code).toBe(4401);
    });
  });

  test("every type of message that an administrator and a user receive is understood", async () => {
    const types = new Set<string>();
    const ready: Promise<unknown>[] = [];
    for (const user of ["user1", "admin"] as const) {
      const feed = open(user);
      feed.on("unreadable", (one) => expect(one).toBeNull());
      feed.on("message", ({ type }) => types.add(type));
      ready.push(
        told(
          feed,
          "message",
          ({ type }) => type === (user === "admin" ? "cost-analytics-update" : "dashboard-stats-update"),
        ),
      );
      feed.start();
    }
    await Promise.all(ready);
    expect([...types]).toEqual(expect.arrayContaining(["dashboard-stats-update", "cost-analytics-update"]));
  });

  test("what is wished for is answered, and a ping is", async () => {
    const feed = open("user1");
    const ready = told(feed, "joined", () => true);
    feed.start();
    await ready;
    const answered = told(feed, "joined", ({ topics }) => topics.length === 1);
    feed.subscribe({ topics: ["executions"], mode: "state", minInterval: 100 });
    expect((await answered).outcome).toBe("fresh");
    feed.wake();
    const node = randomUUID();
    const arrived = told(feed, "message", (message) => nodeIn(message) === node);
    await move(node);
    await arrived;
    expect(feed.getSnapshot().state).toBe("live");
  });
});
