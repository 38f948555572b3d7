/** When the next attempt is made. */

import { describe, expect, test } from "vitest";
import { TIMING } from "../src/policy.js";
import { closed } from "./support/closings.js";
import { message, ready } from "./support/messages.js";
import { World } from "./support/world.js";

const end = (world: World, code: number, retryAfter: number | null = null) =>
  world.send({ type: "closed", attempt: world.main, closing: closed(code, retryAfter) });

describe("backoff", () => {
  test("the bound grows with every failure, and is reset only by a connection that held", () => {
    const world = new World();
    world.chance = 1;
    world.send({ type: "start" });
    const delays: number[] = [];
    const fail = () => {
      world.lose();
      delays.push(world.delay("retry"));
      world.elapse("retry");
    };
    fail();
    fail();
    world.join();
    // It was ready, but did not hold: the bound goes on growing.
    fail();
    world.join();
    world.elapse("stable");
    fail();
    expect(delays).toEqual([500, 1_000, 2_000, 500]);
  });

  test("three attempts without an answer, and the user is told that there is no connection", () => {
    const world = new World();
    world.send({ type: "start" });
    const states: string[] = [];
    for (let n = 0; n < 4; n++) {
      states.push(world.state);
      world.lose();
      world.elapse("retry");
    }
    expect(states).toEqual(["connecting", "connecting", "connecting", "offline"]);
    world.join();
    expect(world.state).not.toBe("offline");
  });

  test("an attempt that does not become ready in time has failed", () => {
    const world = new World();
    world.send({ type: "start" });
    const attempt = world.main;
    world.elapse("opening");
    expect(world.phase).toBe("waiting");
    expect(world.open.has(attempt)).toBe(false);
  });

  test("whoever looks at the page does not wait for the delay, but cannot cause a storm by it", () => {
    const world = new World();
    world.chance = 1;
    world.send({ type: "start" });
    for (let n = 0; n < 6; n++) {
      world.lose();
      world.elapse("retry");
    }
    world.lose();
    world.send({ type: "visible" });
    expect(world.phase).toBe("waiting");
    world.now += TIMING.attemptsApart;
    world.send({ type: "visible" });
    expect(world.phase).toBe("connecting");
  });
});

describe("a server that goes away", () => {
  test("is met again at the moment that it gave, and not before, whoever looks", () => {
    const world = new World().begin();
    world.send({ type: "message", attempt: world.main, message: message("reconnect", { after_ms: 8_000 }) });
    end(world, 1012);
    expect(world.delay("retry")).toBeGreaterThanOrEqual(8_000);
    expect(world.delay("retry")).toBeLessThanOrEqual(8_500);
    world.now += 5_000;
    world.send({ type: "visible" });
    expect(world.phase).toBe("waiting");
  });

  test("and stays all the same gets a successor opened before it is left", () => {
    const world = new World().begin();
    const main = world.main;
    world.send({ type: "message", attempt: main, message: message("reconnect", { after_ms: 1_000 }) });
    world.elapse("advice");
    expect(world.open.get(world.probe)?.transport).toBe("websocket");
    expect(world.main).toBe(main);
    world.send({ type: "ready", attempt: world.probe, message: ready({ outcome: "fresh" }) });
    expect([...world.open.keys()]).toEqual([world.main]);
  });
});
