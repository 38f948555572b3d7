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

test("a tab that came later goes on from where it came in, when the one that holds the socket goes", async () => {
  const { sockets, openTab } = browser();
  const first = openTab();
  (await joined(sockets)).say(updated("1", {}, { cursor: "cursor-1" }));
  const late = openTab();
  await settle();
  expect(late.feed.cursor).toBe("cursor-1");
  first.feed.stop();
  const socket = await joined(sockets, { outcome: "replayed" });
  expect(socket.url.searchParams.get("since")).toBe("cursor-1");
});

test("nobody is told of an end that is only one tab's", async () => {
  const { sockets, openTab } = browser();
  const [first, second] = [openTab(), openTab()];
  await joined(sockets);
  const states: string[] = [];
  second.feed.on("change", ({ state }) => states.push(state));
  first.feed.stop();
  await joined(sockets, { outcome: "fresh" });
  expect(states).toEqual(["connecting", "live"]);
});

test("what was asked for is asked for by whoever leads, also if it was asked before anybody did", async () => {
  const { sockets, openTab } = browser();
  const first = openTab({ before: (feed) => feed.subscribe({ topics: ["executions"], minInterval: 100 }) });
  const second = openTab();
  const socket = await joined(sockets);
  expect(socket.url.searchParams.get("topics")).toBe("executions");
  second.feed.subscribe({ topics: ["agent-tasks"] });
  const third = openTab();
  await settle();
  expect(socket.sent).toEqual([{ type: "subscribe", topics: ["agent-tasks"], min_interval: 100 }]);
  for (const gone of [first, second]) {
    gone.feed.stop();
    const { url } = await joined(sockets, { outcome: "fresh" });
    expect([url.searchParams.get("topics"), url.searchParams.get("min_interval")]).toEqual([
      "agent-tasks",
      "100",
    ]);
  }
  expect(third.feed.leading).toBe(true);
});

test("what a former holder's tab still says is not heard by the one that holds the socket now", async () => {
  const { sockets, openTab, channels } = browser();
  const { feed, ids } = openTab();
  await joined(sockets);
  const former = channels.open("changefeed:ada");
  const gone = { state: "offline", transport: null, userId: null, admin: false, refusal: null };
  former.postMessage({ kind: "snapshot", snapshot: gone, welcome: null });
  former.postMessage({ kind: "event", name: "message", value: updated("1") });
  former.postMessage({ kind: "event", name: "place", value: "cursor-of-before" });
  await settle();
  expect([feed.getSnapshot().state, feed.cursor, ids]).toEqual(["live", "cursor-0", []]);
});

test("a tab that is opened after a refusal tries again, for all of them", async () => {
  const { sockets, openTab } = browser();
  const first = openTab();
  (await joined(sockets)).end(4403);
  await settle();
  expect(first.feed.getSnapshot().refusal?.code).toBe(4403);
  const late = openTab();
  const socket = await joined(sockets);
  for (const { feed } of [first, late]) expect(feed.getSnapshot().state).toBe("live");
  const refused: number[] = [];
  late.feed.on("refused", ({ code }) => refused.push(code));
  socket.end(4403);
  await settle();
  expect(refused).toEqual([4403]);
  expect(sockets).toHaveLength(2);
});

test("whoever is logged in at the start says which tabs belong together", async () => {
  const { sockets, openTab } = browser();
  openTab();
  let user = "bob";
  const { feed } = openTab({ name: () => user });
  await settle();
  expect(sockets).toHaveLength(2);
  feed.forget();
  user = "ada";
  feed.start();
  await settle();
  expect(feed.leading).toBe(false);
  expect(sockets).toHaveLength(2);
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
