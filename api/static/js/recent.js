/** The newest of something that keeps coming: remembers so many, forgets the oldest. Pure. */

export class RecentIds {
  #ids = new Set();
  #most;

  constructor(most) {
    this.#most = most;
  }

  /** Remember an id. Returns whether it was new. */
  add(id) {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    if (this.#ids.size > this.#most) this.#ids.delete(this.#ids.values().next().value);
    return true;
  }

  clear() {
    this.#ids.clear();
  }
}

/** What was measured in the last minute: one sample for each change that was drawn. */
export class Samples {
  static SPAN = 60_000;
  #samples = [];
  /** All there ever were. */
  total = 0;

  /** `at`: when it was drawn; `arrived`, `painted`: milliseconds since the row was written. */
  add(sample) {
    this.#samples.push(sample);
    this.total++;
  }

  /** Those of the last minute, oldest first. */
  since(now) {
    const first = this.#samples.findIndex((sample) => sample.at > now - Samples.SPAN);
    this.#samples = first < 0 ? [] : this.#samples.slice(first);
    return this.#samples;
  }
}

/** The value below which this share of the values lies; NaN where there are none. */
export function quantile(values, share) {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? sorted[0];
}
