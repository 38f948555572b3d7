/** What follows from each way in which a connection ends. */

import { describe, expect, test } from "vitest";
import { closed } from "./support/closings.js";
import { message } from "./support/messages.js";
import { only, World } from "./support/world.js";

const end = (world: World, code: number, retryAfter: number | null = null) =>
  world.send({ type: "closed", attempt: world.main, closing: closed(code, retryAfter) });

describe("close codes", () => {
  test.each([4400, 4403])("%d ends it until the application begins again", (code) => {
    const world = new World().begin();
    const orders = end(world, code);
    expect(only(orders, "refused")[0]?.refusal.code).toBe(code);
    expect(world.state).toBe("offline");
    expect(world.timers.size + world.open.size).toBe(0);
    for (const type of ["online", "visible", "pageshow", "offline", "pagehide"] as const)
      world.send({ type });
    expect(world.phase).toBe("refused");
    world.send({ type: "renew" });
    expect(world.phase).toBe("connecting");
  });

  test.each([4401, 4410])("%d asks once for another token, at once, and then stops", (code) => {
    const world = new World().begin();
    const orders = end(world, code);
    expect(only(orders, "connect")[0]?.another).toBe(true);
    expect(world.phase).toBe("connecting");
    const refused = end(world, 4401);
    expect(only(refused, "refused")).toHaveLength(1);
    expect(world.phase).toBe("refused");
  });

  test("4410 resumes where it was", () => {
    const world = new World().begin();
    const orders = end(world, 4410);
    expect(only(orders, "connect")[0]?.since).toBe("cursor-0");
  });

  test("a token that is accepted and then refused again and again is no reason to hurry", () => {
    const world = new World().begin();
    end(world, 4410);
    world.join();
    end(world, 4410);
    expect(world.phase).toBe("waiting");
  });

  test("and when the next one is refused as well, after the delay, it stops", () => {
    const world = new World().begin();
    end(world, 4410);
    world.join();
    end(world, 4410);
    world.elapse("retry");
    end(world, 4401);
    expect(world.phase).toBe("refused");
  });

  test("an application without another token is told to log in", () => {
    const world = new World().begin();
    end(world, 4401);
    const orders = world.send({ type: "no-token", attempt: world.main });
    expect(only(orders, "refused")[0]?.refusal.code).toBe(4401);
  });

  test("4413 resumes at once, but not twice in a row", () => {
    const world = new World().begin();
    const orders = end(world, 4413);
    expect(only(orders, "connect")[0]).toMatchObject({ since: "cursor-0", another: false });
    world.join();
    end(world, 4413);
    expect(world.phase).toBe("waiting");
  });

  test.each([4409, 4429])("%d waits as long as it was told, and nothing makes it hurry", (code) => {
    const world = new World().begin();
    end(world, code, 60_000);
    expect(world.delay("retry")).toBeGreaterThanOrEqual(60_000);
    world.now += 30_000;
    for (const type of ["visible", "online", "pageshow", "renew", "start"] as const) world.send({ type });
    expect(world.phase).toBe("waiting");
    world.now += 30_000;
    world.send({ type: "visible" });
    expect(world.phase).toBe("connecting");
  });

  test("how long to wait may stand in the error that came before the close", () => {
    const world = new World().begin();
    const error = message("error", {
      code: "too-many-messages",
      message: "",
      retry: true,
      retry_after: 40,
    });
    world.send({ type: "message", attempt: world.main, message: error });
    end(world, 4429);
    expect(world.delay("retry")).toBeGreaterThanOrEqual(40_000);
  });

  test("a stream without close codes is explained by the error that came last", () => {
    const world = new World(["sse", "poll"]).begin();
    const error = message("error", { code: "kicked", message: "bye", retry: false });
    world.send({ type: "message", attempt: world.main, message: error });
    const orders = world.lose();
    expect(only(orders, "refused")[0]?.refusal).toEqual({ code: 4403, message: "bye" });
  });

  test("a WebSocket that is lost is lost, whatever error came last: a close code would have said more", () => {
    const world = new World().begin();
    const error = message("error", { code: "kicked", message: "bye", retry: false });
    world.send({ type: "message", attempt: world.main, message: error });
    world.lose();
    expect(world.phase).toBe("waiting");
  });

  test("an error that did not come last explains nothing", () => {
    const world = new World(["sse", "poll"]).begin();
    const error = message("error", { code: "kicked", message: "bye", retry: false });
    world.send({ type: "message", attempt: world.main, message: error });
    world.send({ type: "heard", attempt: world.main, cursor: null });
    world.lose();
    expect(world.phase).toBe("waiting");
  });

  test.each([1000, 1001, 1012, 4408, 4500])("%d tries again after a delay", (code) => {
    const world = new World().begin();
    end(world, code);
    expect(world.phase).toBe("waiting");
    expect(world.delay("retry")).toBeLessThanOrEqual(500);
  });
});
