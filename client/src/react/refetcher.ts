/**
 * Refetcher: queries that are out of date, fetched again: soon, but not too often.
 *
 * Guarantees: however many messages concern a query, it is fetched at most once in `interval`, and never twice at the same
 * time; after the last message that concerns it, a fetch begins that was not under way when the message came. A fetch
 * that is under way is left alone: cancelling it at each message would, under steady change, never let one land.
 * Queries that nobody shows are only marked, and fetched when they are shown.
 */

import { hashKey, type Query, type QueryClient, type QueryKey } from "@tanstack/react-query";

interface Gate {
  /** Something came that the last fetch may not have seen. */
  dirty: boolean;
  timer: ReturnType<typeof setTimeout> | null;
}

export class Refetcher {
  readonly #client: QueryClient;
  readonly #interval: number;
  readonly #gates = new Map<string, Gate>();
  readonly #begun = new Map<string, number>();
  readonly #unsubscribe: () => void;
  /** What has been touched since the last round, by its hash: a burst names the same few keys again and again. */
  readonly #touched = new Map<string, QueryKey>();
  #disposed = false;

  constructor(client: QueryClient, interval: number) {
    this.#client = client;
    this.#interval = interval;
    this.#unsubscribe = client.getQueryCache().subscribe((event) => {
      const { query } = event;
      if (event.type === "removed") {
        this.#close(query.queryHash);
        this.#begun.delete(query.queryHash);
      } else if (event.type === "updated") {
        const { type } = event.action;
        if (type === "fetch") this.#begun.set(query.queryHash, Date.now());
        // Landed, failed, or cancelled; considered once the fetch has let go of the query, which is after this.
        else if (type === "success" || type === "error" || type === "setState")
          queueMicrotask(() => this.#consider(query.queryHash));
      }
    });
  }

  /** Everything under these keys is out of date. */
  touch(keys: readonly QueryKey[]): void {
    if (keys.length === 0 || this.#disposed) return;
    // All messages of one frame make one round.
    if (this.#touched.size === 0) queueMicrotask(() => this.#round());
    for (const key of keys) this.#touched.set(hashKey(key), key);
  }

  dispose(): void {
    this.#disposed = true;
    this.#unsubscribe();
    for (const hash of [...this.#gates.keys()]) this.#close(hash);
  }

  #round(): void {
    const keys = [...this.#touched.values()];
    this.#touched.clear();
    if (this.#disposed) return;
    const queries = new Set<Query>();
    for (const queryKey of keys)
      for (const query of this.#client.getQueryCache().findAll({ queryKey })) queries.add(query);
    for (const query of queries) {
      query.invalidate();
      const gate = this.#gates.get(query.queryHash) ?? { dirty: false, timer: null };
      gate.dirty = true;
      this.#gates.set(query.queryHash, gate);
      this.#consider(query.queryHash);
    }
  }

  /** Fetches the query if it is time, or sees to it that it is considered when it is. */
  #consider(hash: string): void {
    const gate = this.#gates.get(hash);
    const query = this.#client.getQueryCache().get(hash);
    if (!gate || this.#disposed) return;
    if (!query || !gate.dirty) {
      this.#close(hash);
      return;
    }
    if (query.state.fetchStatus !== "idle" || gate.timer !== null) return;
    if (!query.isActive()) {
      // Nobody shows it: whoever mounts it fetches it, if it is marked, which a fetch that landed has undone.
      query.invalidate();
      this.#close(hash);
      return;
    }
    const left = (this.#begun.get(hash) ?? Number.NEGATIVE_INFINITY) + this.#interval - Date.now();
    if (left > 0) {
      gate.timer = setTimeout(() => {
        gate.timer = null;
        this.#consider(hash);
      }, left);
      return;
    }
    gate.dirty = false;
    void this.#client.refetchQueries(
      { queryKey: query.queryKey, exact: true, type: "active" },
      { cancelRefetch: false },
    );
  }

  #close(hash: string): void {
    const gate = this.#gates.get(hash);
    if (gate?.timer) clearTimeout(gate.timer);
    this.#gates.delete(hash);
  }
}
