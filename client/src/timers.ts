/** Timers by name: one of each at most, and all of them can be stopped. */

import type { Timer } from "./signal.js";
import type { Platform } from "./transport.js";

export class Timers {
  readonly #handles = new Map<Timer, unknown>();
  readonly #platform: Platform;
  readonly #due: (timer: Timer) => void;

  constructor(platform: Platform, due: (timer: Timer) => void) {
    this.#platform = platform;
    this.#due = due;
  }

  /** Replaces the one of this name. */
  schedule(timer: Timer, delay: number): void {
    this.cancel(timer);
    const handle = this.#platform.setTimeout(() => {
      this.#handles.delete(timer);
      this.#due(timer);
    }, delay);
    this.#handles.set(timer, handle);
  }

  cancel(timer: Timer): void {
    if (this.#handles.has(timer)) this.#platform.clearTimeout(this.#handles.get(timer));
    this.#handles.delete(timer);
  }

  cancelAll(): void {
    for (const timer of [...this.#handles.keys()]) this.cancel(timer);
  }
}
