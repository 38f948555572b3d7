/** The ids of the newest messages. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { Recent } from "../src/recent.js";

test("an id is new once", () => {
  const recent = new Recent();
  expect([recent.add("a"), recent.add("b"), recent.add("a")]).toEqual([true, true, false]);
  recent.clear();
  expect(recent.add("a")).toBe(true);
});

test("the newest are remembered, as many as there is room for, and not one more", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(9).map(String)), (capacity, ids) => {
      const recent = new Recent(capacity);
      const model: string[] = [];
      for (const id of ids) {
        expect(recent.add(id)).toBe(!model.includes(id));
        if (!model.includes(id)) model.push(id);
        if (model.length > capacity) model.shift();
        expect(recent.size).toBe(model.length);
      }
    }),
  );
});
