/** The rim: what goes over the wire, who is told, and what is left behind. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { message, updated } from "./support/messages.js";
import { settle, setUp } from "./support/sockets.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("messages", () => {
  test("arrive in their order, one by one, also from a frame that holds many", async () => {
    const { feed, join } = setUp();
    const heard: string[] = [];
    feed.on("message", ({ id }) => heard.push(String(id)));
    feed.start();
    const socket = await join();
    socket.frame(JSON.stringify([updated("1"), updated("2")]));
    socket.say(updated("3"));
    expect(heard).toEqual(["1", "2", "3"]);
  });

  test("with the same id are handed on once, also after a reconnect", async () => {
    const { feed, join } = setUp();
    const heard: (string | undefined)[] = [];
    feed.on("message", ({ id }) => heard.push(id));
    feed.start();
    (await join()).say(updated("1"), updated("2")).end();
    await vi.advanceTimersByTimeAsync(500);
    (await join({ outcome: "replayed" })).say(updated("1"), updated("2"), updated("3"));
    expect(heard).toEqual(["1", "2", "3"]);
  });

  test("without an id are never taken for repeats", async () => {
    const { feed, join } = setUp();
    const heard = vi.fn();
    feed.on("message", heard);
    feed.start();
    const conflated = message("conflated", { count: 1 });
    (await join()).say(conflated, conflated);
    expect(heard).toHaveBeenCalledTimes(2);
  });

  test("that do not parse are logged without their contents, and cost nothing else", async () => {
    const { feed, join, logged } = setUp();
    const heard = vi.fn();
    const unreadable = vi.fn();
    feed.on("message", heard);
    feed.on("unreadable", unreadable);
    feed.start();
    const socket = await join();
    socket
      .frame("{secret")
      .frame(new ArrayBuffer(3))
      .say({ type: "from-the-future", timestamp: "", data: {} });
    socket.say({ ...updated("1"), data: { secret: 1 } }, updated("2"));
    expect(unreadable).toHaveBeenCalledTimes(4);
    expect(heard).toHaveBeenCalledOnce();
    expect(logged).toHaveLength(4);
    expect(JSON.stringify(logged)).not.toContain("secret");
    expect(feed.getSnapshot().state).toBe("live");
  });

  test("are followed by their place, so that whoever stores it has them", async () => {
    const { feed, join } = setUp();
    const told: string[] = [];
    feed.on("message", ({ id }) => told.push(`message ${id}`));
    feed.on("place", (cursor) => told.push(`place ${cursor}`));
    feed.start();
    (await join()).say(updated("1"), updated("2", {}, { cursor: "cursor-2" }));
    expect(told).toEqual(["place cursor-0", "message 1", "message 2", "place cursor-2"]);
    expect(feed.cursor).toBe("cursor-2");
  });

  test("of a stopped feed are not heard, also when a listener stops it in the middle of a frame", async () => {
    const { feed, join } = setUp();
    const heard: (string | undefined)[] = [];
    const unreadable = vi.fn();
    feed.on("unreadable", unreadable);
    feed.on("message", ({ id }) => {
      heard.push(id);
      feed.stop();
    });
    feed.start();
    (await join()).frame(JSON.stringify([updated("1"), updated("2"), { nonsense: true }]));
    expect(heard).toEqual(["1"]);
    expect(unreadable).not.toHaveBeenCalled();
    expect(feed.getSnapshot().state).toBe("offline");
  });
});

test("what a listener causes comes after everything that it was told of", async () => {
  const { feed, join } = setUp();
  const told: string[] = [];
  feed.start();
  const socket = await join();
  feed.on("message", () => feed.forget());
  feed.on("place", (cursor) => told.push(cursor));
  feed.on("change", ({ state }) => told.push(state));
  socket.say(updated("1", {}, { cursor: "cursor-1" }));
  expect(told).toEqual(["cursor-1", "offline"]);
  expect(feed.cursor).toBeNull();
});

describe("nothing is left behind", () => {
  test("after stop() there is no socket, timer or listener", async () => {
    const { feed, view, join } = setUp();
    feed.start();
    const socket = await join();
    expect(view.listening).toBeGreaterThan(0);
    expect(vi.getTimerCount()).toBeGreaterThan(0);
    feed.stop();
    expect(socket.left).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    expect(view.listening).toBe(0);
  });

  test("a feed that is stopped while it waits for its token opens nothing", async () => {
    let give: (token: string) => void = () => {};
    const given = new Promise<string>((resolve) => {
      give = resolve;
    });
    const { feed, sockets } = setUp({ getToken: () => given });
    feed.start();
    feed.stop();
    give("token-1");
    await settle();
    expect(sockets).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("stop() keeps the place, forget() does not, nor what was received", async () => {
    const { feed, join, newest } = setUp();
    const heard = vi.fn();
    feed.on("message", heard);
    feed.start();
    (await join()).say(updated("1"));
    feed.stop();
    expect(feed.cursor).toBe("cursor-0");
    feed.forget();
    expect(feed.cursor).toBeNull();
    expect(feed.getSnapshot()).toMatchObject({ userId: null, admin: false });
    feed.start();
    (await join({ user_id: "bob" })).say(updated("1"));
    expect(newest().url.search).toBe("");
    expect(heard).toHaveBeenCalledTimes(2);
  });

  test("a feed runs while anybody holds on to it, and a hand-over is no reason to reconnect", async () => {
    const { feed, sockets, join } = setUp();
    const first = feed.retain();
    await join();
    first();
    first();
    const second = feed.retain();
    await vi.advanceTimersByTimeAsync(10);
    expect(sockets.map(({ left }) => left)).toEqual([false]);
    second();
    await vi.advanceTimersByTimeAsync(10);
    expect(sockets[0]?.left).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("what an application sees", () => {
  test("the snapshot is the same object until something in it changes", async () => {
    const { feed, join } = setUp();
    const before = feed.getSnapshot();
    feed.start();
    const connecting = feed.getSnapshot();
    expect(connecting).not.toBe(before);
    const socket = await join();
    const live = feed.getSnapshot();
    expect(live).toEqual({
      state: "live",
      transport: "websocket",
      userId: "ada",
      admin: false,
      refusal: null,
    });
    socket.say(updated("1"), message("heartbeat", {}));
    expect(feed.getSnapshot()).toBe(live);
  });

  test("the browser's events are heard", async () => {
    const { feed, view, join, sockets } = setUp();
    feed.start();
    const socket = await join();
    view.document.visibilityState = "hidden";
    view.cause("visibilitychange");
    expect(socket.sent).toEqual([]);
    view.document.visibilityState = "visible";
    view.cause("visibilitychange");
    expect(socket.sent).toEqual([{ type: "ping" }]);
    view.cause("offline");
    expect(feed.getSnapshot().state).toBe("offline");
    expect(socket.left).toBe(true);
    view.cause("online");
    await settle();
    expect(sockets).toHaveLength(2);
    view.cause("pagehide");
    expect(vi.getTimerCount()).toBe(0);
    view.cause("pageshow");
    await join();
    expect(feed.getSnapshot().state).toBe("live");
  });

  test("a browser that starts without a network says so", async () => {
    const { feed, view, sockets } = setUp();
    view.navigator.onLine = false;
    feed.start();
    await settle();
    expect(feed.getSnapshot().state).toBe("offline");
    expect(sockets).toEqual([]);
  });

  test("what is wished for is told to the open connection, and asked for by the next one", async () => {
    const { feed, join, newest } = setUp();
    feed.start();
    const socket = await join();
    feed.subscribe({ topics: ["executions"], minInterval: 1_000 });
    expect(socket.sent).toEqual([{ type: "subscribe", topics: ["executions"], min_interval: 1_000 }]);
    socket.end();
    await vi.advanceTimersByTimeAsync(500);
    expect(newest().url.searchParams.get("topics")).toBe("executions");
    expect(newest().url.searchParams.get("min_interval")).toBe("1000");
  });

  test("a silent socket is pinged, and replaced when it does not answer", async () => {
    const { feed, join, sockets } = setUp();
    feed.start();
    const socket = await join();
    await vi.advanceTimersByTimeAsync(45_000);
    expect(socket.sent).toEqual([{ type: "ping" }]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(socket.left).toBe(true);
    await vi.advanceTimersByTimeAsync(500);
    expect(sockets).toHaveLength(2);
  });

  test("without an address it says what is missing", () => {
    const { feed } = setUp({ url: undefined as never });
    expect(() => feed.start()).toThrow(/`url` is needed/);
    expect(() => setUp({ transports: [] })).toThrow(/names none/);
  });
});
