/** The client against a real server on real sockets: WebSocket, server-sent events, long poll, and from one to the other. */

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { Changefeed } from "../src/changefeed.js";
import type { FeedEvents } from "../src/feed.js";
import type { ChangefeedOptions } from "../src/options.js";
import type { FeedState, Transport } from "../src/state.js";
import { updated } from "./support/messages.js";
import { TestServer } from "./support/server.js";

let server: TestServer;
let feeds: Changefeed[];

beforeEach(async () => {
  feeds = [];
  server = await new TestServer().start();
});
afterEach(async () => {
  for (const feed of feeds) feed.stop();
  await server.stop();
});

/** A feed whose delays are as short as chance allows, a twentieth of the real ones otherwise. */
function open(options: Partial<ChangefeedOptions> = {}) {
  const feed = new Changefeed({
    url: server.url,
    getToken: () => "token",
    log: () => {},
    ...options,
    platform: {
      WebSocket: WebSocket as never,
      random: () => 0,
      setTimeout: (callback, delay) => setTimeout(callback, delay / 20),
    },
  });
  feeds.push(feed);
  const ids: string[] = [];
  feed.on("message", ({ id }) => ids.push(String(id)));
  const outcomes: string[] = [];
  feed.on("joined", ({ outcome }) => outcomes.push(outcome));
  feed.start();
  return { feed, ids, outcomes };
}

/** Waits for the feed to say something that fits. */
function told<K extends keyof FeedEvents>(
  feed: Changefeed,
  name: K,
  fits: (value: FeedEvents[K]) => boolean,
) {
  return new Promise<void>((resolve) => {
    const off = feed.on(name, (value) => {
      if (!fits(value)) return;
      off();
      resolve();
    });
  });
}

async function shows(feed: Changefeed, state: FeedState, transport?: Transport): Promise<void> {
  const fits = () => {
    const now = feed.getSnapshot();
    return now.state === state && (transport === undefined || now.transport === transport);
  };
  if (!fits()) await told(feed, "change", fits);
}

const received = (feed: Changefeed, id: string) => told(feed, "message", (message) => message.id === id);

const WAYS: readonly (readonly [Transport, readonly Transport[]])[] = [
  ["websocket", []],
  ["sse", ["websocket"]],
  ["poll", ["websocket", "sse"]],
];

describe.each(WAYS)("over %s", (transport, blocked) => {
  beforeEach(() => {
    for (const one of blocked) server.blocked.add(one);
  });
  const state = transport === "poll" ? "polling" : "live";

  test("messages arrive, in order", async () => {
    const { feed, ids, outcomes } = open();
    await shows(feed, state, transport);
    const last = received(feed, "2");
    server.say(updated("1"));
    server.say(updated("2"));
    await last;
    expect(ids).toEqual(["1", "2"]);
    expect(outcomes[0]).toBe("first");
  });

  test("a server that is killed and comes back has lost nobody anything", async () => {
    const { feed, ids, outcomes } = open({ transports: [transport] });
    await shows(feed, state);
    const first = received(feed, "1");
    server.say(updated("1"));
    await first;
    await server.stop();
    await shows(feed, "offline");
    server.log.push(updated("2"), updated("3"));
    const missed = received(feed, "3");
    await server.start();
    await missed;
    await shows(feed, state);
    expect(ids).toEqual(["1", "2", "3"]);
    expect(outcomes.at(-1)).not.toBe("resync");
  });

  test("what cannot be replayed is said, and the stream goes on", async () => {
    const { feed, ids, outcomes } = open({ transports: [transport] });
    await shows(feed, state);
    await server.stop();
    server.forget();
    const again = told(feed, "joined", ({ outcome }) => outcome === "resync");
    await server.start();
    await again;
    const next = received(feed, "1");
    server.say(updated("1"));
    await next;
    expect(ids).toEqual(["1"]);
    expect(outcomes).toContain("resync");
  });

  test("a token that is refused stops it until there is another", async () => {
    server.refusedTokens.add("bad");
    let token = "bad";
    const { feed } = open({ transports: [transport], getToken: () => token });
    await told(feed, "refused", ({ code }) => code === 4401);
    token = "good";
    feed.renew();
    await shows(feed, state);
    expect(server.requests.map((request) => request.split(" ")[1])).toEqual(
      expect.arrayContaining(["bad", "good"]),
    );
  });

  test("after stop() the server has nobody left", async () => {
    const { feed } = open({ transports: [transport] });
    await shows(feed, state);
    feed.stop();
    await expect.poll(() => server.clients, { interval: 5, timeout: 10_000 }).toBe(0);
  });
});

test("a better transport that appears is moved to without an interruption, and nothing is missed or repeated", async () => {
  server.blocked.add("websocket").add("sse");
  const { feed, ids } = open();
  await shows(feed, "polling");
  const first = received(feed, "1");
  server.say(updated("1"));
  await first;
  const states: string[] = [];
  feed.on("change", (snapshot) => states.push(`${snapshot.state} ${snapshot.transport}`));
  server.blocked.delete("sse");
  await shows(feed, "live", "sse");
  server.blocked.delete("websocket");
  await shows(feed, "live", "websocket");
  const second = received(feed, "2");
  server.say(updated("2"));
  await second;
  expect(ids).toEqual(["1", "2"]);
  expect(states).toEqual(["live sse", "live websocket"]);
});

test("a quiet stream of events keeps its place", async () => {
  const { feed } = open({ transports: ["sse"] });
  await shows(feed, "live");
  server.log.push(updated("1"));
  const place = told(feed, "place", (cursor) => cursor === "1:1");
  server.beat();
  await place;
  expect(feed.cursor).toBe("1:1");
});

test("each long poll asks for a token of its own", async () => {
  let tokens = 0;
  server.blocked.add("websocket").add("sse");
  const { feed } = open({ transports: ["poll"], getToken: () => `token-${++tokens}` });
  await shows(feed, "polling");
  const first = received(feed, "1");
  server.say(updated("1"));
  await first;
  await expect.poll(() => server.requests.length, { interval: 5, timeout: 10_000 }).toBeGreaterThan(2);
  expect(server.requests.slice(0, 3).map((request) => request.split(" ")[1])).toEqual([
    "token-1",
    "token-2",
    "token-3",
  ]);
});

test("the first message may carry the token, and the ping is answered", async () => {
  const { feed } = open({ carrier: "message", transports: ["websocket"] });
  await shows(feed, "live", "websocket");
  feed.wake();
  await expect
    .poll(() => server.heard, { interval: 5, timeout: 10_000 })
    .toEqual([{ type: "auth", token: "token" }, { type: "ping" }]);
});

test("an array of messages in one frame, and nonsense in the next, and then life goes on", async () => {
  const { feed, ids } = open({ transports: ["websocket"] });
  await shows(feed, "live");
  const last = received(feed, "3");
  server.frame(JSON.stringify([updated("1"), updated("2")]));
  server.frame("][");
  server.frame(JSON.stringify(updated("3")));
  await last;
  expect(ids).toEqual(["1", "2", "3"]);
});
