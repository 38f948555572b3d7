/** Which transport is used, and when another one is tried. */

import { describe, expect, test } from "vitest";
import { closed, LOSS, NO_TOKEN_NOW, UNAVAILABLE } from "./support/closings.js";
import { ready } from "./support/messages.js";
import { only, World } from "./support/world.js";

const end = (world: World, code: number, retryAfter: number | null = null) =>
  world.send({ type: "closed", attempt: world.main, closing: closed(code, retryAfter) });

describe("transports", () => {
  /** Fails attempts until one is live, and names the transports that were tried. */
  function tried(world: World, attempts: number): string[] {
    const names: string[] = [];
    world.send({ type: "start" });
    for (let n = 0; n < attempts; n++) {
      names.push(world.open.get(world.main)?.transport ?? "none");
      world.lose();
      world.elapse("retry");
    }
    return names;
  }

  test("the best is tried twice, then the next, and after the last one the first again", () => {
    expect(tried(new World(), 6)).toEqual([
      "websocket",
      "websocket",
      "sse",
      "poll",
      "websocket",
      "websocket",
    ]);
  });

  test("one that has worked before is given more tries, because the server is likelier to be away", () => {
    const world = new World().begin();
    world.elapse("stable");
    world.now += 60_000;
    world.lose();
    world.elapse("retry");
    const names: (string | undefined)[] = [];
    for (let n = 0; n < 6; n++) {
      names.push(world.open.get(world.main)?.transport);
      world.lose();
      world.elapse("retry");
    }
    expect(names).toEqual(["websocket", "websocket", "websocket", "websocket", "sse", "poll"]);
  });

  test("one that breaks soon after each start is left for the next", () => {
    const world = new World();
    world.send({ type: "start" });
    for (let n = 0; n < 4; n++) {
      expect(world.open.get(world.main)?.transport).toBe("websocket");
      world.join();
      world.now += 1_000;
      world.lose();
      world.elapse("retry");
    }
    expect(world.open.get(world.main)?.transport).toBe("sse");
  });

  test("one that held in between has its tries again", () => {
    const world = new World().begin();
    for (let n = 0; n < 3; n++) {
      world.lose();
      world.elapse("retry");
    }
    world.join();
    world.elapse("stable");
    world.now += 60_000;
    for (let n = 0; n < 3; n++) {
      world.lose();
      world.elapse("retry");
      expect(world.open.get(world.main)?.transport).toBe("websocket");
    }
  });

  test("one that is not spoken there is left at once", () => {
    const world = new World();
    world.send({ type: "start" });
    world.send({ type: "closed", attempt: world.main, closing: UNAVAILABLE });
    world.elapse("retry");
    expect(world.open.get(world.main)?.transport).toBe("sse");
  });

  test("a server that answers with a close code has been reached: the transport stays", () => {
    const world = new World();
    world.send({ type: "start" });
    for (let n = 0; n < 5; n++) {
      end(world, 4500);
      world.elapse("retry");
      expect(world.open.get(world.main)?.transport).toBe("websocket");
    }
    expect(world.state).toBe("connecting");
  });

  test("an application that cannot give a token now says nothing about the transport", () => {
    const world = new World();
    world.send({ type: "start" });
    for (let n = 0; n < 5; n++) {
      world.send({ type: "closed", attempt: world.main, closing: NO_TOKEN_NOW });
      world.elapse("retry");
    }
    expect(world.open.get(world.main)?.transport).toBe("websocket");
    expect(world.state).toBe("connecting");
  });

  function polling(): World {
    const world = new World();
    tried(world, 3);
    world.join();
    expect(world.state).toBe("polling");
    return world;
  }

  test("from a lesser one the better ones are tried in turn, and the connection stays until one is ready", () => {
    const world = polling();
    const main = world.main;
    world.elapse("probe");
    expect(world.open.get(world.probe)?.transport).toBe("websocket");
    world.send({ type: "closed", attempt: world.probe, closing: LOSS });
    expect(world.main).toBe(main);
    expect(world.state).toBe("polling");
    world.elapse("probe");
    expect(world.open.get(world.probe)?.transport).toBe("sse");
    const orders = world.send({ type: "ready", attempt: world.probe, message: ready() });
    expect(only(orders, "disconnect")).toEqual([{ type: "disconnect", attempt: main }]);
    expect(world.state).toBe("live");
    expect(world.transport).toBe("sse");
    expect([...world.open.values()].map(({ transport }) => transport)).toEqual(["sse"]);
  });

  test("a better one that does not become ready in time is given up", () => {
    const world = polling();
    world.elapse("probe");
    const { probe } = world;
    world.elapse("probing");
    expect(world.open.has(probe)).toBe(false);
    expect(world.state).toBe("polling");
    expect(world.timers.has("probe")).toBe(true);
  });

  test("a change of network is a reason to try the better ones soon", () => {
    const world = polling();
    world.send({ type: "online" });
    expect(world.delay("probe")).toBeLessThanOrEqual(1_000);
  });
});

describe("what is wished for", () => {
  test("is told to a WebSocket", () => {
    const world = new World().begin();
    expect(only(world.send({ type: "subscribe" }), "resubscribe")).toHaveLength(1);
  });

  test("is asked for by a successor where nothing can be told", () => {
    const world = new World(["sse", "poll"]).begin();
    const orders = world.send({ type: "subscribe" });
    expect(only(orders, "connect")[0]?.transport).toBe("sse");
    // A second wish is not lost because the first is still under way.
    const first = world.probe;
    world.send({ type: "subscribe" });
    expect(world.probe).not.toBe(first);
    expect(world.open.has(first)).toBe(false);
  });

  test("is asked for anew where the old wish is on its way", () => {
    const world = new World();
    world.send({ type: "start" });
    const first = world.main;
    world.send({ type: "subscribe" });
    expect(world.main).not.toBe(first);
  });
});
