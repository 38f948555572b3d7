/** Delays and close codes. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { backoff, patience, postponed, TIMING, untilProbe, VERDICTS, verdictOf } from "../src/policy.js";
import { closeCodeOf } from "../src/shapes.js";
import { closed, LOSS } from "./support/closings.js";

const chance = fc.double({ min: 0, max: 1, noNaN: true });

test("the bound of a delay doubles from half a second to 30 s", () => {
  const bounds = Array.from({ length: 9 }, (_, retries) => backoff(retries, 1));
  expect(bounds).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  expect(backoff(10_000, 1)).toBe(30_000);
});

test("the jitter is full: every delay from nothing to the bound can come", () => {
  fc.assert(
    fc.property(fc.nat(40), chance, (retries, luck) => {
      expect(backoff(retries, luck)).toBeCloseTo(luck * backoff(retries, 1), 6);
    }),
  );
});

test("what is postponed never comes sooner than was asked for", () => {
  fc.assert(
    fc.property(fc.nat(100_000), chance, (delay, luck) => {
      expect(postponed(delay, luck)).toBeGreaterThanOrEqual(delay);
      expect(postponed(delay, luck)).toBeLessThanOrEqual(2 * delay);
    }),
  );
});

test("a better transport is tried more and more rarely, up to every five minutes", () => {
  expect([0, 1, 2].map((probes) => untilProbe(probes, 1))).toEqual([5_000, 10_000, 20_000]);
  expect(untilProbe(50, 1)).toBe(TIMING.largestProbe);
  expect(untilProbe(50, 0)).toBe(TIMING.largestProbe / 2);
});

test("a transport that has worked is given more tries than one that never has", () => {
  expect(patience("websocket", true)).toBeGreaterThan(patience("websocket", false));
  expect(patience("poll", false)).toBe(1);
});

test("every close code that a server's error announces has a verdict", () => {
  for (const code of Object.values(closeCodeOf)) expect(VERDICTS[code], String(code)).toBeDefined();
});

test("a code that is not known, and a loss, are tried again with backoff", () => {
  expect(verdictOf(closed(4999))).toBe("backoff");
  expect(verdictOf(LOSS)).toBe("backoff");
  expect(verdictOf({ ...LOSS, code: 4403 })).toBe("backoff");
});
