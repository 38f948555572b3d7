/** The transition table: every phase and every input, and where each leads. */

import { describe, expect, test } from "vitest";
import { reduce, TABLE } from "../src/machine.js";
import type { InputName, Signal } from "../src/signal.js";
import type { Machine, PhaseName } from "../src/state.js";
import { LOSS } from "./support/closings.js";
import { LEADS, PHASES } from "./support/leads.js";
import { ready, updated } from "./support/messages.js";
import { World } from "./support/world.js";

/** A world in a phase, long enough after its last attempt that it may hurry. */
function worldIn(phase: PhaseName): World {
  const world = new World();
  if (phase === "stopped") return world;
  world.send({ type: "start" });
  switch (phase) {
    case "live":
      // On the second rung, so that a probe can be made.
      world.lose();
      world.elapse("retry");
      world.lose();
      world.elapse("retry");
      world.join();
      world.elapse("probe");
      break;
    case "waiting":
      world.lose();
      break;
    case "offline":
      world.send({ type: "offline" });
      break;
    case "suspended":
      world.send({ type: "pagehide" });
      break;
    case "refused":
      world.send({ type: "no-token", attempt: world.main });
      break;
  }
  world.now += 5_000;
  return world;
}

/** The input, as somebody may say it in this world. */
function signalFor(world: World, name: InputName): Signal {
  const { phase } = world.machine;
  const main = phase.name === "connecting" || phase.name === "live" ? phase.attempt.id : 999;
  const probe = phase.name === "live" && phase.probe ? phase.probe.id : 999;
  switch (name) {
    case "ready":
      return { type: name, attempt: main, message: ready() };
    case "message":
      return { type: name, attempt: main, message: updated("1") as never };
    case "heard":
      return { type: name, attempt: main, cursor: null };
    case "closed":
      return { type: name, attempt: main, closing: LOSS };
    case "no-token":
      return { type: name, attempt: main };
    case "probe-ready":
      return { type: "ready", attempt: probe, message: ready() };
    case "probe-closed":
      return { type: "closed", attempt: probe, closing: LOSS };
    case "stop":
      return { type: name, forget: false };
    default:
      return { type: name };
  }
}

const CELLS = PHASES.flatMap((phase, column) =>
  (Object.keys(LEADS) as InputName[]).map((input) => [phase, input, LEADS[input][column]] as const),
);

describe("every phase has a cell for every input", () => {
  test("and the test knows them all", () => {
    for (const phase of PHASES) expect(Object.keys(TABLE[phase]).sort()).toEqual(Object.keys(LEADS).sort());
    expect(Object.keys(TABLE).sort()).toEqual([...PHASES].sort());
  });

  test.each(CELLS)("%s, %s → %s", (phase, input, leads) => {
    const world = worldIn(phase);
    expect(world.phase).toBe(phase);
    // A connection that is lost with a probe beside it is the next test's.
    if (phase === "live" && input === "closed")
      world.send({ type: "closed", attempt: world.probe, closing: LOSS });
    world.send(signalFor(world, input));
    expect(world.phase).toBe(leads);
  });

  test("a machine is never changed, only replaced", () => {
    for (const [phase, input] of CELLS) {
      const world = worldIn(phase);
      const frozen = deepFreeze(world.machine);
      expect(() => reduce(frozen, signalFor(world, input), { now: world.now, chance: 0.5 })).not.toThrow();
    }
  });
});

test("a connection that is lost leaves the word to the probe beside it", () => {
  const world = worldIn("live");
  const { probe } = world;
  world.send({ type: "closed", attempt: world.main, closing: LOSS });
  expect(world.phase).toBe("connecting");
  expect(world.main).toBe(probe);
  world.join();
  expect(world.transport).toBe("websocket");
});

function deepFreeze(value: Machine): Machine {
  for (const part of Object.values(value)) if (typeof part === "object" && part) Object.freeze(part);
  return Object.freeze(value);
}
