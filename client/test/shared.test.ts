/** One connection for all tabs. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SharedChangefeed } from "../src/shared.js";
import { ready, updated } from "./support/messages.js";
import { type FakeSocket, FakeView, settle, socketry } from "./support/sockets.js";
import { browser } from "./support/tabs.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

async function joined(sockets: FakeSocket[], data: Parameters<typeof ready>[0] = {}): Promise<FakeSocket> {
  await settle();
  const socket = sockets.at(-1);
  if (!socket) throw new Error("no socket");
  socket.accept().say(ready(data));
  await settle();
  return socket;
}

test("however many tabs there are, there is one socket, and all of them hear it", async () => {
  const { sockets, openTab } = browser();
  const tabs = [openTab(), openTab(), openTab()];
  const socket = await joined(sockets);
  socket.say(updated("1"), updated("2", {}, { cursor: "cursor-2" }));
  await settle();
  expect(sockets).toHaveLength(1);
  for (const { feed, ids, outcomes } of tabs) {
    expect(ids).toEqual(["1", "2"]);
    expect(outcomes).toEqual(["first"]);
    expect(feed.getSnapshot()).toMatchObject({ state: "live", userId: "ada" });
    expect(feed.cursor).toBe("cursor-2");
  }
  expect(tabs.map(({ feed }) => feed.leading)).toEqual([true, false, false]);
});

test("when the tab that holds the socket goes, the next goes on from the last place", async () => {
  const { sockets, openTab } = browser();
  const [first, second] = [openTab(), openTab()];
  (await joined(sockets)).say(updated("1", {}, { cursor: "cursor-1" }), updated("2"));
  await settle();
  first.feed.stop();
  await settle();
  expect(sockets[0]?.left).toBe(true);
  expect(second.feed.getSnapshot().state).toBe("connecting");
  const socket = await joined(sockets, { outcome: "replayed" });
  expect(socket.url.searchParams.get("since")).toBe("cursor-1");
  socket.say(updated("2"), updated("3"));
  await settle();
  // What had come over the channel is not told again.
  expect(second.ids).toEqual(["1", "2", "3"]);
  expect(second.feed.getSnapshot().state).toBe("live");
});

test("a tab that comes later is told where things stand, and that what it fetched may be out of date", async () => {
  const { sockets, openTab } = browser();
  openTab();
  await joined(sockets);
  const late = openTab();
  await settle();
  expect(late.feed.getSnapshot().state).toBe("live");
  expect(late.outcomes).toEqual(["first"]);
});

test("a tab in the back/forward cache resigns, and comes back as one of the others", async () => {
  const { sockets, openTab } = browser();
  const [first, second] = [openTab(), openTab()];
  await joined(sockets);
  first.view.cause("pagehide");
  await settle();
  expect(second.feed.leading).toBe(true);
  await joined(sockets, { outcome: "fresh" });
  first.view.cause("pageshow");
  await settle();
  expect(first.feed.leading).toBe(false);
  expect(first.feed.getSnapshot().state).toBe("live");
  expect(sockets.filter(({ left }) => !left)).toHaveLength(1);
});

test("what another tab wants, the one that holds the socket does", async () => {
  const { sockets, openTab } = browser();
  openTab();
  const second = openTab();
  const socket = await joined(sockets);
  second.feed.subscribe({ topics: ["executions"] });
  second.view.cause("visibilitychange");
  await settle();
  expect(socket.sent).toEqual([{ type: "subscribe", topics: ["executions"] }, { type: "ping" }]);
  socket.end(4403);
  await settle();
  expect(second.feed.getSnapshot()).toMatchObject({ state: "offline", refusal: { code: 4403 } });
  second.feed.renew();
  await joined(sockets);
  expect(second.feed.getSnapshot().state).toBe("live");
});

test("after stop() no tab leaves anything behind, also one that never held the socket", async () => {
  const { sockets, openTab } = browser();
  const tabs = [openTab(), openTab()];
  await joined(sockets);
  for (const { feed, view } of tabs) {
    feed.forget();
    expect(view.listening).toBe(0);
    expect(feed.cursor).toBeNull();
  }
  await settle();
  expect(sockets.every(({ left }) => left)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("where a browser has no locks, each tab has a socket of its own", async () => {
  const { sockets, WebSocket } = socketry();
  const open = () =>
    new SharedChangefeed({
      name: "ada",
      url: "https://example.test",
      getToken: () => "token",
      view: new FakeView(),
      platform: { WebSocket },
    });
  const tabs = [open(), open()];
  for (const tab of tabs) tab.start();
  await settle();
  expect(sockets).toHaveLength(2);
  for (const tab of tabs) tab.stop();
  expect(vi.getTimerCount()).toBe(0);
});
