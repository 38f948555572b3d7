/** How a dead connection is found out, and what the page and the network have to do with it. */

import { describe, expect, test } from "vitest";
import { TIMING } from "../src/policy.js";
import { message, updated } from "./support/messages.js";
import { only, World } from "./support/world.js";

describe("silence", () => {
  test("a WebSocket is asked first, and left when it does not answer", () => {
    const world = new World().begin();
    const main = world.main;
    expect(only(world.elapse("silence"), "ping")).toEqual([{ type: "ping", attempt: main }]);
    expect(world.delay("silence")).toBe(TIMING.pong);
    world.elapse("silence");
    expect(world.phase).toBe("waiting");
    expect(world.open.has(main)).toBe(false);
  });

  test("any word is an answer", () => {
    const world = new World().begin();
    world.elapse("silence");
    world.now += 1_000;
    world.send({ type: "message", attempt: world.main, message: message("heartbeat", {}) });
    world.elapse("silence");
    expect(world.phase).toBe("live");
    expect(world.delay("silence")).toBe(TIMING.silence - (TIMING.pong - 1_000));
  });

  test("a deadline that a sleeping page missed by far proves nothing: it asks again", () => {
    const world = new World().begin();
    world.elapse("silence");
    world.timers.set("silence", world.now + 600_000);
    const orders = world.elapse("silence");
    expect(only(orders, "ping")).toHaveLength(1);
    expect(world.phase).toBe("live");
  });

  test("a transport that cannot be asked is opened anew", () => {
    const world = new World(["sse", "poll"]).begin();
    world.elapse("silence");
    expect(world.phase).toBe("waiting");
  });

  test("messages keep the silence away without a timer being set for each", () => {
    const world = new World().begin();
    for (let n = 0; n < 10; n++) {
      world.now += 4_000;
      const orders = world.send({
        type: "message",
        attempt: world.main,
        message: updated(String(n)) as never,
      });
      expect(only(orders, "schedule")).toEqual([]);
    }
    world.elapse("silence");
    expect(world.phase).toBe("live");
    expect(world.machine.phase).toMatchObject({ pinged: null });
  });
});

describe("the page and the network", () => {
  test("a page that is looked at again asks at once whether the connection stands", () => {
    const world = new World().begin();
    expect(only(world.send({ type: "visible" }), "ping")).toHaveLength(1);
    // Once is enough, however often the tab is switched.
    expect(world.send({ type: "visible" })).toEqual([]);
    world.elapse("silence");
    expect(world.phase).toBe("waiting");
  });

  test("a stream that should have said something by then is opened anew", () => {
    const world = new World(["sse", "poll"]).begin();
    world.now += TIMING.streamSilence;
    world.send({ type: "visible" });
    expect(world.phase).toBe("live");
    world.now += 1;
    world.send({ type: "visible" });
    expect(world.phase).toBe("connecting");
  });

  test("without a network it says so at once, and connects when there is one again", () => {
    const world = new World().begin();
    world.send({ type: "offline" });
    expect(world.state).toBe("offline");
    expect(world.open.size).toBe(0);
    // Nor does the slow retry pretend otherwise.
    world.elapse("retry");
    expect(world.state).toBe("offline");
    world.send({ type: "offline" });
    const orders = world.send({ type: "online" });
    expect(world.state).toBe("connecting");
    expect(only(orders, "connect")[0]?.since).toBe("cursor-0");
  });

  test("a browser that is wrong about the network is not believed for ever", () => {
    const world = new World().begin();
    world.send({ type: "offline" });
    expect(world.delay("retry")).toBeLessThanOrEqual(30_000);
    world.elapse("retry");
    world.join();
    expect(world.state).toBe("live");
  });

  test("a page in the back/forward cache holds no connection, and resumes when it is shown", () => {
    const world = new World().begin();
    world.send({ type: "pagehide" });
    expect(world.open.size + world.timers.size).toBe(0);
    const orders = world.send({ type: "pageshow" });
    expect(only(orders, "connect")[0]?.since).toBe("cursor-0");
  });
});
