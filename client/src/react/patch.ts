/**
 * Patch: one row put into cached data, wherever in it the row stands.
 *
 * Understood are a row itself, an array of rows, an object whose `items` are such an array, and an infinite query's `pages`
 * of any of these. Only members that the cached row has are taken over, so that cached data keeps its shape. What does
 * not change keeps its identity, so that nothing is drawn again for nothing. Pure.
 */

import { isRecord } from "../shape.js";

export type Row = Readonly<Record<string, unknown>>;

export interface Patched {
  readonly value: unknown;
  /**
   * `found`: the row was there. `absent`: it was not, and might have to be, as in a list. `foreign`: this is another row,
   * which has nothing to do with it.
   */
  readonly row: "found" | "absent" | "foreign";
}

/** What becomes of a cached row: its successor, or null where it is to go. */
export type Change = (cached: Row) => Row | null;

export function patched(value: unknown, id: string, of: unknown, change: Change): Patched {
  if (Array.isArray(value)) return inArray(value, id, of, change);
  if (!isRecord(value)) return { value, row: "absent" };
  if (Object.hasOwn(value, id)) {
    if (value[id] !== of) return { value, row: "foreign" };
    const next = change(value);
    // A query cannot have no data: whoever shows a row that is gone has to ask for it.
    return next === null ? { value, row: "absent" } : { value: next, row: "found" };
  }
  for (const member of ["items", "pages"]) {
    const inner = value[member];
    if (!Array.isArray(inner)) continue;
    const result = inArray(inner, id, of, change);
    return result.value === inner
      ? { value, row: result.row }
      : { value: { ...value, [member]: result.value }, row: "found" };
  }
  return { value, row: "absent" };
}

function inArray(values: readonly unknown[], id: string, of: unknown, change: Change): Patched {
  let found = false;
  let changed = false;
  const next: unknown[] = [];
  for (const value of values) {
    const own = isRecord(value) && Object.hasOwn(value, id) && value[id] === of;
    const result = own ? { value: change(value), row: "found" } : patched(value, id, of, change);
    found ||= result.row === "found";
    changed ||= result.value !== value;
    if (result.value !== null || !own) next.push(result.value);
  }
  return { value: changed ? next : values, row: found ? "found" : "absent" };
}

/** The cached row with what the new one says. The same object where that is nothing new. */
export function merged(cached: Row, row: Row): Row {
  const news = Object.keys(cached).filter(
    (member) => Object.hasOwn(row, member) && !same(cached[member], row[member]),
  );
  return news.length === 0
    ? cached
    : { ...cached, ...Object.fromEntries(news.map((member) => [member, row[member]])) };
}

/** Equality of JSON values. */
export function same(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (Array.isArray(one))
    return (
      Array.isArray(other) && one.length === other.length && one.every((value, at) => same(value, other[at]))
    );
  if (!isRecord(one) || !isRecord(other)) return false;
  const members = Object.keys(one);
  return (
    members.length === Object.keys(other).length &&
    members.every((member) => Object.hasOwn(other, member) && same(one[member], other[member]))
  );
}
