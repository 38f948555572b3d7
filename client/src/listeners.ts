/**
 * Listeners: who wants to know of what.
 *
 * A listener that throws is logged and harms nobody else; one that is removed while it is being told is not told. No
 * EventTarget, because that is not to be had everywhere and has no types.
 */

import type { Log } from "./log.js";

export class Listeners<Events extends object> {
  readonly #sets = new Map<keyof Events, Set<(value: never) => void>>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Returns what removes it again. */
  on<K extends keyof Events>(name: K, listener: (value: Events[K]) => void): () => void {
    // A function of its own, so that the same listener may be added twice and removed once.
    const own = (value: Events[K]) => listener(value);
    const set = this.#sets.get(name) ?? new Set();
    this.#sets.set(name, set);
    set.add(own);
    return () => void set.delete(own);
  }

  tell<K extends keyof Events>(name: K, value: Events[K]): void {
    const set = this.#sets.get(name);
    if (!set) return;
    for (const listener of [...set] as ((value: Events[K]) => void)[]) {
      if (!set.has(listener as (value: never) => void)) continue;
      try {
        listener(value);
      } catch (error) {
        this.#log("warn", `a listener of "${String(name)}" failed`, error);
      }
    }
  }

  get size(): number {
    let size = 0;
    for (const set of this.#sets.values()) size += set.size;
    return size;
  }
}
