/** The rows of one table as far as they are known here, in the order in which they last changed. Pure. */

const REMEMBERED_MS = 60_000;
const UNDER_WAY = new Set(["pending", "running", "paused"]);

export class Rows {
  #rows = new Map();
  #removed = new Map();

  /** `key`: the member of a row that identifies it. */
  constructor(key) {
    this.key = key;
  }

  get size() {
    return this.#rows.size;
  }

  get(id) {
    return this.#rows.get(id)?.row;
  }

  /** When the row last changed here or was removed, in milliseconds; undefined where it was never here, or long ago. */
  changedAt(id) {
    return this.#rows.get(id)?.at ?? this.#removed.get(id);
  }

  entries() {
    return [...this.#rows].map(([id, { row }]) => [id, row]);
  }

  /** A row as it is now. */
  put(row, at) {
    const id = row[this.key];
    this.#rows.delete(id);
    this.#rows.set(id, { row, at });
  }

  remove(id, at) {
    this.#rows.delete(id);
    this.#removed.set(id, at);
    for (const [former, removedAt] of this.#removed) {
      if (removedAt < at - REMEMBERED_MS) this.#removed.delete(former);
    }
  }

  /** These are all rows there are, the newest first. What was known keeps its place; the rest comes before, what is at work last. */
  replace(items, at) {
    const found = new Map(items.map((row) => [row[this.key], row]));
    const known = [...this.#rows].filter(([id]) => found.has(id));
    const places = new Set(known.map(([id]) => id));
    const fresh = items.filter((row) => !places.has(row[this.key])).reverse();
    fresh.sort((one, other) => atWork(one) - atWork(other));
    this.#rows = new Map(fresh.map((row) => [row[this.key], { row, at }]));
    for (const [id, former] of known) {
      const row = found.get(id);
      this.#rows.set(id, { row, at: same(row, former.row) ? former.at : at });
    }
  }

  /** The ids of the rows that changed last, the newest first. */
  newest(number) {
    return [...this.#rows.keys()].slice(-number).reverse();
  }

  /** How many rows have each status. */
  counts() {
    const counts = {};
    for (const { row } of this.#rows.values()) counts[row.status] = (counts[row.status] ?? 0) + 1;
    return counts;
  }
}

/** Whether two rows say the same. An event also tells the former status, which is none of the row's. */
function same(one, other) {
  return Object.keys(one).every((name) => name === "previous_status" || one[name] === other[name]);
}

const atWork = (row) => Number(UNDER_WAY.has(row.status));
