/**
 * Freshness: whether a message is surely newer than what a query holds.
 *
 * Two things put rows into a query: messages and fetches. Messages of one row carry the time of its write; those times
 * grow, because a writer waits for the lock of the one before. A fetch carries no time, but it cannot show what was
 * written after it had landed. So a message is surely newer if it was written after the last one of the same row, and
 * after the last landing. Everything else is in doubt, and the caller fetches again instead of showing it: at worst one
 * fetch too many, never a value that goes backwards.
 *
 * The landing is told by our clock, the write by the server's; `clock` is the difference, with the shortest way of a
 * message in it. It errs, if at all, by as much as a fetched answer was under way itself.
 */

export class Freshness {
  #clock = 0;
  readonly #landed = new Map<string, number>();
  readonly #written = new Map<string, Map<string, string>>();

  /** A stream was joined: clocks may have been set meanwhile. */
  synchronise(clock: number): void {
    if (Number.isFinite(clock)) this.#clock = clock;
  }

  /** A message came; the fastest of them tell the difference between the clocks best. */
  observe(timestamp: string, now: number): void {
    const clock = now - Date.parse(timestamp);
    if (clock < this.#clock) this.#clock = clock;
  }

  /** A fetch of this query has landed. Whatever is written after that is also after every message before. */
  land(query: string, now: number): void {
    this.#landed.set(query, now);
    this.#written.delete(query);
  }

  isNewer(query: string, row: string, timestamp: string, updatedAt: number): boolean {
    const last = this.#written.get(query)?.get(row);
    // RFC 3339 in UTC, always with six digits: the order of the text is the order of time.
    if (last !== undefined && timestamp <= last) return false;
    return Date.parse(timestamp) + this.#clock > (this.#landed.get(query) ?? updatedAt);
  }

  /** The query shows this row as it was written then. */
  show(query: string, row: string, timestamp: string): void {
    const rows = this.#written.get(query) ?? new Map<string, string>();
    this.#written.set(query, rows);
    const last = rows.get(row);
    if (last === undefined || timestamp > last) rows.set(row, timestamp);
  }

  /** The query is not cached any more. */
  drop(query: string): void {
    this.#landed.delete(query);
    this.#written.delete(query);
  }

  clear(): void {
    this.#landed.clear();
    this.#written.clear();
  }
}
