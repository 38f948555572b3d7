/** Tokens that expire. */

import { describe, expect, test } from "vitest";
import { closed } from "./support/closings.js";
import { message, ready } from "./support/messages.js";
import { only, World } from "./support/world.js";

describe("tokens", () => {
  const expiring = (world: World) =>
    world.send({
      type: "message",
      attempt: world.main,
      message: message("token-expiring", { expires_at: "" }),
    });

  test("a WebSocket is given the new token, and stays", () => {
    const world = new World().begin();
    expect(only(expiring(world), "refresh")).toEqual([{ type: "refresh", attempt: world.main }]);
    expect(world.state).toBe("live");
  });

  test("a refresh that failed is tried again", () => {
    const world = new World().begin();
    expiring(world);
    world.send({ type: "refresh-failed" });
    expect(only(world.elapse("refresh"), "refresh")).toHaveLength(1);
  });

  test("a stream of events gets a successor, which takes over when it is ready", () => {
    const world = new World(["sse", "poll"]).begin();
    const main = world.main;
    expiring(world);
    expect(world.main).toBe(main);
    expect(world.open.get(world.probe)?.transport).toBe("sse");
    world.send({ type: "ready", attempt: world.probe, message: ready({ outcome: "fresh" }) });
    expect(world.state).toBe("live");
    expect([...world.open.keys()]).not.toContain(main);
  });

  test("one that is announced while an attempt is under way with the former one is not overlooked", () => {
    const world = new World().begin();
    const end = () => world.send({ type: "closed", attempt: world.main, closing: closed(4401) });
    end();
    const former = world.main;
    // Asked for before the application had another: this attempt will be refused, and that says nothing of the new token.
    const orders = world.send({ type: "renew" });
    expect(only(orders, "connect")).toMatchObject([{ another: false, since: "cursor-0" }]);
    world.send({ type: "closed", attempt: former, closing: closed(4401) });
    expect(world.phase).toBe("connecting");
    expect(only(end(), "connect")).toMatchObject([{ another: true }]);
  });

  test("a long poll asks with each request anyway", () => {
    const world = new World(["poll"]).begin();
    expect(expiring(world)).toEqual([]);
  });
});
