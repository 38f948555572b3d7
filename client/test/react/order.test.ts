/**
 * A database, a stream and fetches, in virtual time and in any order: what a patched list shows, held against the truth.
 *
 * Each of three rows has a number that grows with every write. A write is captured, committed later, and delivered later
 * still; the next writer of the row waits for the commit, and the stream keeps the order of commits of one row. A fetch
 * reads what is committed at one moment, and lands later.
 */

import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { FakeFeed } from "../support/cache.js";
import { keep, show } from "../support/cache.js";
import { execution, updated } from "../support/messages.js";

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => void vi.useRealTimers());

/** Milliseconds: the shortest way of a message, and of an answer. */
const FASTEST = 5;

interface Write {
  readonly pause: number;
  readonly row: number;
  readonly commit: number;
  readonly way: number;
}

const write: fc.Arbitrary<Write> = fc.record({
  pause: fc.nat(60),
  row: fc.nat(2),
  commit: fc.nat(30),
  way: fc.integer({ min: FASTEST, max: 80 }),
});
const fetch = fc.record({
  pause: fc.nat(120),
  query: fc.nat(40),
  way: fc.integer({ min: FASTEST, max: 90 }),
});

const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

/** Plays the writes into the table and the feed. The server's clock is `skew` ahead of ours. */
function play(writes: readonly Write[], table: number[], feed: FakeFeed, skew: number): void {
  const begin = Date.now();
  const numbers = table.map(() => 0);
  const free = table.map(() => 0);
  let clock = 0;
  let arrives = 0;
  for (const { pause, row, commit, way } of writes) {
    clock += pause;
    const written = Math.max(clock, free[row] ?? 0);
    const committed = written + commit;
    const number = (numbers[row] ?? 0) + 1;
    free[row] = committed;
    numbers[row] = number;
    arrives = Math.max(arrives, committed + way);
    const timestamp = new Date(begin + written + skew).toISOString().replace("Z", "000Z");
    const event = updated(`${row}-${number}`, { execution_id: `e${row}`, progress: number }, { timestamp });
    setTimeout(() => {
      table[row] = number;
    }, committed);
    setTimeout(() => feed.say(event), arrives);
  }
}

test("no row is seen to go backwards, and in the end the list shows the truth", async () => {
  const history = [fc.array(write, { maxLength: 40 }), fc.array(fetch, { maxLength: 8 })] as const;
  const skews = fc.integer({ min: -100_000, max: 100_000 });
  await fc.assert(
    fc.asyncProperty(...history, skews, async (writes, fetches, skew) => {
      const { client, feed, end } = keep({
        events: { "execution-updated": { patch: { keys: [["executions"]], id: "execution_id" } } },
      });
      const table = [0, 0, 0];
      let answers = 0;
      const list = show(client, ["executions"], async () => {
        const { query, way } = fetches[answers++ % Math.max(1, fetches.length)] ?? { query: 5, way: FASTEST };
        await sleep(query);
        const items = table.map((progress, row) => execution({ execution_id: `e${row}`, progress }));
        await sleep(way);
        return { items };
      });
      feed.join("fresh", { clock: -skew + FASTEST });
      play(writes, table, feed, skew);
      let when = 0;
      for (const { pause } of fetches) {
        when += pause;
        setTimeout(
          () => void client.refetchQueries({ queryKey: ["executions"] }, { cancelRefetch: false }),
          when,
        );
      }
      await vi.advanceTimersByTimeAsync(20_000);
      list.hide();
      end();
      const shown = list.seen.map(({ items }) => items.map(({ progress }) => progress ?? 0));
      for (let n = 1; n < shown.length; n++)
        for (const row of table.keys())
          expect(shown[n]?.[row]).toBeGreaterThanOrEqual(shown[n - 1]?.[row] ?? 0);
      expect(shown.at(-1)).toEqual(table);
    }),
    { numRuns: 100 },
  );
});
