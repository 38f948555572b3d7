/**
 * The client against the real server and a real PostgreSQL: CHANGEFEED_DEMO names the `demo.json` of a `make demo` that runs.
 * Skipped where it does not.
 */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { Changefeed } from "../src/changefeed.js";
import type { FeedEvents } from "../src/feed.js";
import type { ChangefeedOptions } from "../src/options.js";
import type { Transport } from "../src/state.js";

interface Demo {
  readonly url: string;
  readonly psql: string;
  readonly tokens: Readonly<Record<"user1" | "user2" | "admin", string>>;
  readonly execution_id: string;
}

const path = process.env.CHANGEFEED_DEMO;
const demo: Demo = path ? JSON.parse(readFileSync(path, "utf8")) : ({} as Demo);
const feeds: Changefeed[] = [];

afterEach(() => {
  for (const feed of feeds.splice(0)) feed.stop();
});

function open(user: keyof Demo["tokens"], options: Partial<ChangefeedOptions> = {}) {
  const platform = { WebSocket: WebSocket as never };
  const feed = new Changefeed({ url: demo.url, getToken: () => demo.tokens[user], platform, ...options });
  feeds.push(feed);
  return feed;
}

function told<K extends keyof FeedEvents>(
  feed: Changefeed,
  name: K,
  fits: (value: FeedEvents[K]) => boolean,
) {
  return new Promise<FeedEvents[K]>((resolve) => {
    const off = feed.on(name, (value) => {
      if (!fits(value)) return;
      off();
      resolve(value);
    });
  });
}

/** The application's own SQL; it knows nothing of changefeed. */
function progress(value: number): void {
  const [command = "psql", ...rest] = demo.psql.split(" ");
  const sql = `update workflow_execution set progress = ${value} where id = '${demo.execution_id}'`;
  execFileSync(command, [...rest, "-qc", sql]);
}

const shows = (value: number) => (message: FeedEvents["message"]) =>
  message.type === "execution-updated" &&
  message.data.execution_id === demo.execution_id &&
  message.data.progress === value;

/** Another value than the row has, for this run. */
let last = Date.now() % 40;
const other = () => {
  last = (last + 1) % 90;
  return last;
};

describe.skipIf(!path)("against the real server", () => {
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
      const value = other();
      const arrived = told(owner, "message", shows(value));
      progress(value);
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
      const values = [other(), other(), other()];
      for (const value of values) progress(value);
      const seen: unknown[] = [];
      feed.on("message", ({ type, data }) => {
        if (type === "execution-updated" && data.execution_id === demo.execution_id) seen.push(data.progress);
      });
      const again = told(feed, "joined", () => true);
      const arrived = told(feed, "message", shows(values[2] ?? 0));
      feed.start();
      expect((await again).outcome).toBe("replayed");
      await arrived;
      expect(seen).toEqual(values);
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
    const value = other();
    const arrived = told(feed, "message", shows(value));
    progress(value);
    await arrived;
    expect(feed.getSnapshot().state).toBe("live");
  });
});
