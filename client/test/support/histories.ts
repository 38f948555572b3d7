/** Random histories of a machine: everything that can happen to it, in any order, also what should not. */

import fc from "fast-check";
import type { Signal, Timer } from "../../src/signal.js";
import type { Transport } from "../../src/state.js";
import { closed, LOSS, NO_TOKEN_NOW, UNAVAILABLE } from "./closings.js";
import { message, ready, readyData, updated } from "./messages.js";
import { World } from "./world.js";

/** Something that may happen, given what the world is like then. */
export type Happening = (world: World) => Signal | Timer | null;

const CODES = [1000, 1001, 1012, 4400, 4401, 4403, 4408, 4409, 4410, 4413, 4429, 4500, 4999];

/** One of the open attempts, or one that is long gone. */
const attempt = (world: World, pick: number) => {
  const open = [...world.open.keys()];
  return pick === 0 || open.length === 0 ? world.machine.attempts - 2 : (open[pick % open.length] as number);
};
const pick = fc.nat(5);
const cursor = fc.stringMatching(/^c[0-9]{1,3}$/);

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .constantFrom("start", "renew", "subscribe", "online", "offline", "visible", "pagehide", "pageshow")
      .map((type) => () => ({ type }) as Signal),
  },
  { weight: 1, arbitrary: fc.boolean().map((forget) => () => ({ type: "stop", forget }) as const) },
  {
    weight: 10,
    // Timers mostly run out in their order, but one that was on its way when it was released may come, too.
    arbitrary: fc.tuple(pick, fc.boolean()).map(([n]) => (world: World) => {
      const running = [...world.timers.keys()];
      return running[n % Math.max(1, running.length)] ?? null;
    }),
  },
  {
    weight: 8,
    arbitrary: fc
      .record({
        outcome: fc.constantFrom("fresh", "replayed", "resync") as fc.Arbitrary<"fresh">,
        user: fc.constantFrom("ada", "ada", "ada", "bob"),
        cursor,
        pick,
      })
      .map(
        ({ outcome, user, cursor, pick }) =>
          (world: World): Signal => ({
            type: "ready",
            attempt: attempt(world, pick),
            message: ready({ outcome, user_id: user }, cursor),
          }),
      ),
  },
  {
    weight: 10,
    arbitrary: fc
      .record({
        kind: fc.constantFrom(
          "event",
          "resync",
          "error",
          "reconnect",
          "token-expiring",
          "subscribed",
          "pong",
          "heartbeat",
        ),
        cursor: fc.option(cursor, { nil: undefined }),
        pick,
      })
      .map(({ kind, cursor, pick }) => (world: World): Signal => {
        const more = cursor === undefined ? {} : { cursor };
        const said = {
          event: () => updated("i", {}, more),
          resync: () => message("resync", { reason: "epoch", sources: null, spread_ms: 5 }, more),
          error: () => message("error", { code: "kicked", message: "", retry: false }),
          reconnect: () => message("reconnect", { after_ms: 500 }),
          "token-expiring": () => message("token-expiring", { expires_at: "" }),
          subscribed: () => message("subscribed", readyData(), more),
          pong: () => message("pong", {}),
          heartbeat: () => message("heartbeat", {}, more),
        }[kind as "event"]();
        return { type: "message", attempt: attempt(world, pick), message: said as never };
      }),
  },
  {
    weight: 8,
    arbitrary: fc
      .record({
        closing: fc.oneof(
          fc.constantFrom(LOSS, LOSS, UNAVAILABLE, NO_TOKEN_NOW),
          fc.constantFrom(...CODES).map((code) => closed(code)),
          fc.constantFrom(4409, 4429).map((code) => closed(code, 7_000)),
        ),
        pick,
      })
      .map(
        ({ closing, pick }) =>
          (world: World): Signal => ({
            type: "closed",
            attempt: attempt(world, pick),
            closing,
          }),
      ),
  },
  {
    weight: 1,
    arbitrary: pick.map(
      (n) =>
        (world: World): Signal => ({ type: "no-token", attempt: attempt(world, n) }),
    ),
  },
  { weight: 1, arbitrary: fc.constant(() => ({ type: "refresh-failed" }) as const) },
);

export const history = fc.array(
  fc.record({ happening, passes: fc.nat(20_000), chance: fc.double({ min: 0, max: 1, noNaN: true }) }),
  { maxLength: 60, size: "max" },
);

export const ladders: fc.Arbitrary<readonly Transport[]> = fc.constantFrom<readonly Transport[]>(
  ["websocket", "sse", "poll"],
  ["sse", "poll"],
  ["websocket"],
  ["poll"],
);

/** Plays a history, and looks after every step. */
export function play(
  ladder: readonly Transport[],
  steps: readonly { happening: Happening; passes: number; chance: number }[],
  look: (world: World, signal: Signal, before: World["machine"]) => void,
): World {
  const world = new World(ladder);
  // Most histories begin with a connection: a machine that was never started has nothing to show.
  if (steps.length % 4 !== 0) world.begin();
  for (const { happening, passes, chance } of steps) {
    world.now += passes;
    world.chance = chance;
    const next = happening(world);
    if (next === null) continue;
    const before = world.machine;
    if (typeof next === "string") {
      world.elapse(next);
      look(world, { type: `${next}-due` } as Signal, before);
    } else {
      world.send(next);
      look(world, next, before);
    }
  }
  return world;
}

export function always(look: (world: World, signal: Signal, before: World["machine"]) => void): void {
  fc.assert(
    fc.property(ladders, history, (ladder, steps) => void play(ladder, steps, look)),
    { numRuns: 600 },
  );
}
