/** Where a connection goes on from, and what the application is told when it joins. */

import { describe, expect, test } from "vitest";
import { message, ready, readyData, updated } from "./support/messages.js";
import { only, World } from "./support/world.js";

describe("the place", () => {
  test("a connection goes on from the latest place", () => {
    const world = new World().begin();
    world.send({
      type: "message",
      attempt: world.main,
      message: updated("1", {}, { cursor: "cursor-1" }) as never,
    });
    world.lose();
    const orders = world.elapse("retry");
    expect(only(orders, "connect")[0]?.since).toBe("cursor-1");
  });

  test("a break in the middle of what was missed starts it over: ready does not move the place", () => {
    const world = new World(undefined, "cursor-7");
    world.send({ type: "start" });
    const orders = world.join({ outcome: "replayed" }, "cursor-9");
    expect(only(orders, "joined")[0]?.joined.outcome).toBe("replayed");
    world.send({ type: "message", attempt: world.main, message: updated("1") as never });
    world.lose();
    expect(only(world.elapse("retry"), "connect")[0]?.since).toBe("cursor-7");
  });

  test("the same holds for a replay that a subscribe has begun", () => {
    const world = new World().begin();
    const answer = message("subscribed", readyData({ outcome: "replayed" }), { cursor: "cursor-9" });
    world.send({ type: "message", attempt: world.main, message: answer });
    expect(world.machine.cursor).toBe("cursor-0");
  });

  test("a sign of life without a message may carry a place", () => {
    const world = new World(["sse"]).begin();
    world.send({ type: "heard", attempt: world.main, cursor: "cursor-5" });
    expect(world.machine.cursor).toBe("cursor-5");
  });

  test("what comes before ready is no place to go on from", () => {
    const world = new World();
    world.send({ type: "start" });
    const early = updated("1", {}, { cursor: "cursor-1" }) as never;
    expect(
      only(world.send({ type: "message", attempt: world.main, message: early }), "deliver"),
    ).toHaveLength(1);
    expect(world.machine.cursor).toBeNull();
  });
});

describe("three outcomes, and the first", () => {
  test.each([
    ["fresh", null, "first"],
    ["fresh", "cursor-1", "fresh"],
    ["replayed", "cursor-1", "replayed"],
    ["resync", "cursor-1", "resync"],
    ["something-new", "cursor-1", "resync"],
  ])("%s, having asked for %s, is %s", (outcome, since, told) => {
    const world = new World(undefined, since);
    world.send({ type: "start" });
    const orders = world.join({ outcome: outcome as "fresh" });
    expect(only(orders, "joined")[0]?.joined.outcome).toBe(told);
  });

  test("another user than before is told, and nothing of the former one is believed", () => {
    const world = new World().begin();
    world.lose();
    world.elapse("retry");
    const orders = world.join({ user_id: "bob" });
    expect(only(orders, "joined")[0]?.joined).toMatchObject({ anotherUser: true, outcome: "resync" });
  });

  test("after forgetting, the next user is the first", () => {
    const world = new World().begin();
    world.send({ type: "stop", forget: true });
    world.send({ type: "start" });
    const orders = world.join({ user_id: "bob" });
    expect(only(orders, "connect")).toEqual([]);
    expect(only(orders, "joined")[0]?.joined).toMatchObject({ anotherUser: false, outcome: "first" });
  });

  test("a long poll's answers begin with ready: only a resync among them is news", () => {
    const world = new World(["poll"]).begin();
    const again = (data: Parameters<typeof ready>[0], cursor: string) =>
      world.send({ type: "ready", attempt: world.main, message: ready(data, cursor) });
    expect(only(again({ outcome: "fresh" }, "cursor-2"), "joined")).toEqual([]);
    expect(world.machine.cursor).toBe("cursor-2");
    expect(only(again({ outcome: "replayed" }, "cursor-3"), "joined")).toEqual([]);
    expect(world.machine.cursor).toBe("cursor-2");
    expect(only(again({ outcome: "resync" }, "cursor-4"), "joined")[0]?.joined.outcome).toBe("resync");
    expect(world.open.size).toBe(1);
  });

  test("subscribed tells of topics that are new, because what is known of them was fetched before", () => {
    const world = new World().begin();
    const answer = (topics: string[]) =>
      only(
        world.send({
          type: "message",
          attempt: world.main,
          message: message("subscribed", readyData({ topics }), { cursor: "cursor-1" }),
        }),
        "joined",
      )[0]?.joined.outcome;
    expect(answer(["executions"])).toBe("fresh");
    expect(answer(["executions", "system-metrics"])).toBe("first");
  });
});
