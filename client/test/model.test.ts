/** Random histories of the machine, held against what must be true after each of them, and after every step of it. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TIMING } from "../src/policy.js";
import type { FeedState } from "../src/state.js";
import { always, history, ladders, play } from "./support/histories.js";
import { ready } from "./support/messages.js";
import { World } from "./support/world.js";

describe("after any history", () => {
  test("there is one connection at most, and one probe beside a connection that is live", () => {
    always((world) => {
      const { phase } = world.machine;
      const expected =
        phase.name === "connecting"
          ? [phase.attempt.id]
          : phase.name === "live"
            ? [phase.attempt.id, ...(phase.probe ? [phase.probe.id] : [])]
            : [];
      // An attempt that closed itself needs no order to be gone.
      expect([...world.open.keys()].sort().filter((id) => !expected.includes(id))).toEqual([]);
    });
  });

  test("no phase is a dead end: a timer or a connection moves it on", () => {
    always((world) => {
      const timers = [...world.timers.keys()];
      switch (world.phase) {
        case "connecting":
          expect(timers).toContain("opening");
          break;
        case "live":
          expect(timers).toContain("silence");
          if (world.transport !== world.machine.ladder[0]) {
            const probing = world.machine.phase.name === "live" && world.machine.phase.probe;
            expect(timers.some((timer) => timer === "probe" || (probing && timer === "probing"))).toBe(true);
          }
          break;
        case "waiting":
        case "offline":
          expect(timers).toEqual(["retry"]);
          break;
        default:
          expect(timers).toEqual([]);
      }
    });
  });

  test("a place is stored only when its message has been handed on by the connection that is", () => {
    always((world, signal, before) => {
      if (world.machine.cursor === before.cursor) return;
      if (signal.type === "stop") {
        expect(signal.forget).toBe(true);
        expect(world.machine.cursor).toBeNull();
        return;
      }
      expect(["message", "ready", "heard"]).toContain(signal.type);
      if (signal.type !== "message" && signal.type !== "ready") return;
      expect(world.phase).toBe("live");
      expect(signal.attempt).toBe(world.main);
      expect(world.machine.cursor).toBe(signal.message.cursor);
      const { message } = signal;
      if (message.type === "ready" || message.type === "subscribed")
        expect(message.data.outcome !== "replayed" || before.cursor === null).toBe(true);
    });
  });

  test("what a former attempt says changes nothing", () => {
    always((_, signal, before) => {
      if (!("attempt" in signal)) return;
      const { phase } = before;
      const own = phase.name === "connecting" || phase.name === "live" ? [phase.attempt.id] : [];
      if (phase.name === "live" && phase.probe) own.push(phase.probe.id);
      if (own.includes(signal.attempt)) return;
      const world = new World(before.ladder);
      world.machine = before;
      expect(world.send(signal)).toEqual([]);
      expect(world.machine).toBe(before);
    });
  });

  test("a refusal holds until the application begins again", () => {
    always((world, signal, before) => {
      if (before.phase.name !== "refused" || world.phase === "refused") return;
      expect(["start", "renew", "stop"]).toContain(signal.type);
    });
  });

  test("a server that asked for patience is not asked again before its time", () => {
    always((world, signal, before) => {
      const { phase } = before;
      if (phase.name !== "waiting" || world.phase !== "connecting") return;
      if (signal.type === "stop" || signal.type === "offline" || signal.type === "pagehide") return;
      expect(world.now).toBeGreaterThanOrEqual(phase.notBefore);
    });
  });

  test("a delay lies within its bound, which never passes the largest", () => {
    always((world, signal) => {
      if (world.phase !== "waiting" || !world.timers.has("retry")) return;
      if (signal.type === "closed" && signal.closing.kind !== "lost") return;
      if (signal.type !== "closed") return;
      const { retries, advice } = world.machine;
      if (advice !== null || (world.machine.phase.name === "waiting" && world.machine.phase.notBefore > 0))
        return;
      const bound = Math.min(TIMING.largestRetry, TIMING.firstRetry * 2 ** (retries - 1));
      expect(world.delay("retry")).toBeLessThanOrEqual(bound);
    });
  });

  test("the shown state is live or polling only while a connection is ready", () => {
    always((world) => {
      const shown: Record<FeedState, boolean> = {
        live: world.phase === "live" && world.transport !== "poll",
        polling: world.phase === "live" && world.transport === "poll",
        connecting: ["connecting", "waiting", "suspended"].includes(world.phase),
        offline: world.phase !== "live",
      };
      expect(shown[world.state]).toBe(true);
    });
  });

  test("stopping ends everything, and nothing but a start begins again", () => {
    fc.assert(
      fc.property(ladders, history, history, fc.boolean(), (ladder, first, second, forget) => {
        const world = play(ladder, first, () => {});
        world.send({ type: "stop", forget });
        expect(world.open.size + world.timers.size).toBe(0);
        for (const { happening } of second) {
          const next = happening(world);
          if (next === null || typeof next === "string" || next.type === "start") continue;
          expect(world.send(next).filter(({ type }) => type !== "release")).toEqual([]);
          expect(world.phase).toBe("stopped");
        }
      }),
      { numRuns: 400 },
    );
  });

  test("whoever stops failing is live again: from any history, a server that answers is found", () => {
    fc.assert(
      fc.property(ladders, history, (ladder, steps) => {
        const world = play(ladder, steps, () => {});
        world.send({ type: "start" });
        for (let step = 0; step < 40 && world.phase !== "live"; step++) {
          if (world.phase === "connecting") world.join({ user_id: "ada" });
          else if (world.timers.has("retry")) world.elapse("retry");
          else world.send({ type: "pageshow" });
        }
        expect(world.phase).toBe("live");
        // And on the best transport, as soon as that is tried.
        for (let step = 0; step < 40 && world.machine.rung > 0; step++) {
          world.now += 60_000;
          const { phase } = world.machine;
          if (phase.name === "live" && phase.probe)
            world.send({ type: "ready", attempt: phase.probe.id, message: ready() });
          else if (world.timers.has("probe")) world.elapse("probe");
        }
        expect(world.machine.rung).toBe(0);
      }),
      { numRuns: 400 },
    );
  });
});
