/** The long poll: one request after the other, and no faster than is good for the server. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { message, ready, updated } from "./support/messages.js";
import { settle, setUp } from "./support/sockets.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A feed on a server whose answers the test gives; `asked` are the addresses, with the time. */
function polling(answer: (url: URL, signal: AbortSignal) => Promise<Response> | Response) {
  const asked: { at: number; url: URL }[] = [];
  const fetch = async (input: unknown, init?: RequestInit) => {
    const url = new URL(String(input));
    asked.push({ at: Date.now(), url });
    return answer(url, init?.signal as AbortSignal);
  };
  return { ...setUp({ transports: ["poll"], platform: { fetch: fetch as typeof globalThis.fetch } }), asked };
}

const json = (body: unknown) =>
  new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" } });
const never = (signal: AbortSignal) =>
  new Promise<Response>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

test("the first request does not wait, the next ones do, each from where the last one ended", async () => {
  let place = 0;
  const { feed, asked } = polling(async (url, signal) => {
    if (asked.length > 2) return never(signal);
    place++;
    return json({ messages: [ready({}, `c${place}`)], cursor: `c${place}`, url });
  });
  feed.start();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(asked.map(({ url }) => url.search)).toEqual(["?wait=0", "?since=c1&wait=25", "?since=c2&wait=25"]);
  expect(feed.getSnapshot()).toMatchObject({ state: "polling", transport: "poll" });
  feed.stop();
  expect(vi.getTimerCount()).toBe(0);
});

test("a busy feed is fetched once a second, not once per change", async () => {
  let n = 0;
  const { feed, asked } = polling(() => json({ messages: [ready(), updated(String(++n))], cursor: `c${n}` }));
  feed.start();
  await vi.advanceTimersByTimeAsync(5_000);
  const gaps = asked.slice(2).map(({ at }, i) => at - (asked[i + 1]?.at ?? 0));
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1_000);
  expect(gaps.length).toBeGreaterThanOrEqual(3);
  feed.stop();
});

test("a request that is never answered is given up, and tried again", async () => {
  const { feed, asked } = polling((_, signal) =>
    asked.length === 2 ? never(signal) : json({ messages: [ready()], cursor: "c" }),
  );
  feed.start();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(asked).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(36_000);
  expect(asked.length).toBeGreaterThan(2);
  expect(feed.getSnapshot().state).toBe("polling");
  feed.stop();
});

test("an answer that is none is another transport's business", async () => {
  for (const body of [new Response("<html>"), json([]), json({ messages: "none" })]) {
    const { feed } = polling(() => body);
    feed.start();
    await settle();
    expect(feed.getSnapshot().state).toBe("connecting");
    feed.stop();
  }
});

test("a resync among the messages is told, and the rest of the answer with it", async () => {
  const said = message("resync", { reason: "epoch", sources: null, spread_ms: 5 });
  const { feed, asked } = polling((_, signal) =>
    asked.length > 1 ? never(signal) : json({ messages: [ready(), said, updated("1")], cursor: "c" }),
  );
  const told: string[] = [];
  feed.on("resync", ({ reason }) => told.push(reason));
  feed.on("message", ({ id }) => told.push(String(id)));
  feed.start();
  await vi.advanceTimersByTimeAsync(10);
  expect(told).toEqual(["epoch", "1"]);
  feed.stop();
});
