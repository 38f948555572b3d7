/** One row put into cached data. */

import { describe, expect, test } from "vitest";
import { merged, patched, same } from "../../src/react/patch.js";

const a = { id: "a", n: 1 };
const b = { id: "b", n: 1 };
const up = (cached: Readonly<Record<string, unknown>>) => merged(cached, { id: "b", n: 2, extra: true });

describe("the row is found", () => {
  test.each([
    ["in an array", [a, b], [a, { id: "b", n: 2 }]],
    ["in the items of a page", { items: [a, b], next: "x" }, { items: [a, { id: "b", n: 2 }], next: "x" }],
    [
      "in the pages of an infinite query",
      { pages: [{ items: [a] }, { items: [b] }], pageParams: [null, "x"] },
      { pages: [{ items: [a] }, { items: [{ id: "b", n: 2 }] }], pageParams: [null, "x"] },
    ],
    [
      "in pages that are arrays",
      { pages: [[a], [b]], pageParams: [] },
      { pages: [[a], [{ id: "b", n: 2 }]], pageParams: [] },
    ],
    ["as the data itself", b, { id: "b", n: 2 }],
  ])("%s", (_, before, after) => {
    expect(patched(before, "id", "b", up)).toEqual({ value: after, row: "found" });
  });
});

test("members that the cached row does not have are not added", () => {
  expect(merged(b, { extra: true, n: 1 })).toBe(b);
});

test("what does not change keeps its identity, from the row up to the whole", () => {
  const before = { pages: [{ items: [a] }, { items: [b] }] };
  const { value } = patched(before, "id", "b", up) as { value: typeof before };
  expect(value.pages[0]).toBe(before.pages[0]);
  expect(value.pages[1]).not.toBe(before.pages[1]);
  const unchanged = patched(before, "id", "b", (row) => merged(row, { n: 1 }));
  expect(unchanged).toEqual({ value: before, row: "found" });
  expect(unchanged.value).toBe(before);
});

test("a row that is gone leaves its list", () => {
  expect(patched({ items: [a, b] }, "id", "b", () => null)).toEqual({ value: { items: [a] }, row: "found" });
});

test("a list without the row might have to have it; another row has nothing to do with it", () => {
  expect(patched({ items: [a] }, "id", "b", up).row).toBe("absent");
  expect(patched([], "id", "b", up).row).toBe("absent");
  expect(patched(a, "id", "b", up).row).toBe("foreign");
  // Data that is nothing but the row cannot be without it.
  expect(patched(b, "id", "b", () => null)).toEqual({ value: b, row: "absent" });
});

test("data of another kind is not touched", () => {
  for (const value of [null, 7, "b", { total: 3 }, { items: "b" }])
    expect(patched(value, "id", "b", up)).toEqual({ value, row: "absent" });
});

test("JSON values are the same by what they say", () => {
  expect(same({ x: [1, { y: null }] }, { x: [1, { y: null }] })).toBe(true);
  expect(same({ x: [1, { y: null }] }, { x: [1, { y: 0 }] })).toBe(false);
  expect(same({ x: 1 }, { x: 1, y: undefined })).toBe(false);
  expect(same([1, 2], [1])).toBe(false);
  expect(same([], {})).toBe(false);
});
