/**
 * Recent: the ids of the newest messages, to drop repeats by.
 *
 * After a reconnect everything since the cursor is sent again, and what lies between the cursor and the break had been
 * received already. Bounded: as many ids as a server replays at most; the oldest goes first.
 */

export class Recent {
  readonly #ids = new Set<string>();
  readonly #capacity: number;

  constructor(capacity = 10_000) {
    this.#capacity = capacity;
  }

  /** Remembers the id. False if it was known. */
  add(id: string): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    if (this.#ids.size > this.#capacity) {
      // A Set iterates in the order of insertion, so its first is its oldest.
      for (const oldest of this.#ids) {
        this.#ids.delete(oldest);
        break;
      }
    }
    return true;
  }

  clear(): void {
    this.#ids.clear();
  }

  get size(): number {
    return this.#ids.size;
  }
}
