/**
 * CacheSync: keeps a QueryClient's cache as the feed says. No React in it.
 *
 * Guarantees: a message does what the rule of its type says, and no more. Whatever may have been missed is fetched again:
 * after `resync` at a random moment within the time that the server gave, so that its clients do not come all at once;
 * after the first `ready` what was fetched before it. Another user's data does not stay. After dispose() nothing happens.
 */

import type { QueryClient } from "@tanstack/react-query";
import type { Feed } from "../feed.js";
import type { ServerMessage } from "../messages.js";
import type { Joined, Resync } from "../signal.js";
import { Freshness } from "./freshness.js";
import { Patcher } from "./patcher.js";
import { Refetcher } from "./refetcher.js";
import { allKeys, checkRules, keysOf, keysOfSources, patchesOf, type Rules, ruleOf } from "./rules.js";

/** Milliseconds in which a query is fetched once at most. */
export const INTERVAL = 250;
/** Where a resync is known from `ready` alone, until the message that says more, which follows it. */
const SPREAD = 1_000;

interface Pending {
  readonly timer: ReturnType<typeof setTimeout>;
  /** It is not known yet how long the server gives. */
  readonly provisional: boolean;
}

export interface SyncOptions {
  readonly interval?: number;
  /** From 0 to 1. */
  readonly random?: () => number;
}

export class CacheSync {
  readonly #client: QueryClient;
  readonly #rules: Rules;
  readonly #random: () => number;
  readonly #freshness = new Freshness();
  readonly #refetcher: Refetcher;
  readonly #patcher: Patcher;
  /** Resyncs that wait for their moment, by their sources. */
  readonly #pending = new Map<string, Pending>();
  readonly #undo: readonly (() => void)[];

  constructor(feed: Feed, client: QueryClient, rules: Rules, options: SyncOptions = {}) {
    this.#client = client;
    this.#rules = checkRules(rules);
    this.#random = options.random ?? Math.random;
    this.#refetcher = new Refetcher(client, options.interval ?? INTERVAL);
    this.#patcher = new Patcher(client, this.#freshness, (keys) => this.#refetcher.touch(keys));
    this.#undo = [
      feed.on("message", (message) => this.#receive(message)),
      feed.on("joined", (joined) => this.#join(joined)),
      feed.on("resync", (resync) => this.#resync(resync, false)),
      feed.on("unreadable", ({ type }) => this.#distrust(type)),
    ];
  }

  dispose(): void {
    for (const undo of this.#undo) undo();
    // Nobody follows any more what is cached: it is fetched again by whoever shows it next.
    for (const queryKey of allKeys(this.#rules))
      void this.#client.invalidateQueries({ queryKey, refetchType: "none" });
    this.#patcher.dispose();
    this.#refetcher.dispose();
    this.#cancelAll();
  }

  #receive(message: ServerMessage): void {
    this.#freshness.observe(message.timestamp, Date.now());
    const rule = ruleOf(this.#rules, message.type);
    if (rule) {
      if (rule.replace) this.#patcher.replace(rule.replace, message);
      for (const patch of patchesOf(rule)) this.#patcher.patch(patch, message);
      const { invalidate = [] } = rule;
      this.#refetcher.touch(typeof invalidate === "function" ? invalidate(message) : invalidate);
    }
    if (message.type === "rows-changed" || (message.type === "row-changed" && !rule))
      this.#refetcher.touch(keysOfSources(this.#rules, [message.data.source]));
  }

  #join({ outcome, anotherUser, clock }: Joined): void {
    this.#freshness.synchronise(clock);
    if (anotherUser) {
      this.#forget();
      return;
    }
    if (outcome === "first") this.#refetcher.touch(allKeys(this.#rules));
    if (outcome === "resync") this.#resync({ reason: "ready", sources: null, spread_ms: SPREAD }, true);
  }

  #resync({ sources, spread_ms }: Resync, provisional: boolean): void {
    const name = sources === null ? "*" : JSON.stringify([...sources].sort());
    const before = this.#pending.get(name);
    // The one that waits comes after this as well, unless its time was only guessed.
    if (before && (!before.provisional || provisional)) return;
    if (before) clearTimeout(before.timer);
    const timer = setTimeout(() => {
      this.#pending.delete(name);
      this.#refetcher.touch(keysOfSources(this.#rules, sources));
    }, this.#random() * spread_ms);
    this.#pending.set(name, { timer, provisional });
  }

  /** A message was not understood. That something has changed is known all the same, if its type is. */
  #distrust(type: string | null): void {
    if (type === null) return;
    if (type === "resync" || type === "rows-changed" || type === "row-changed") {
      this.#refetcher.touch(allKeys(this.#rules));
      return;
    }
    const rule = ruleOf(this.#rules, type);
    if (rule) this.#refetcher.touch(keysOf(rule));
  }

  /** What is cached belongs to somebody else: it goes at once, and what is shown is fetched anew. */
  #forget(): void {
    this.#cancelAll();
    this.#freshness.clear();
    this.#client.removeQueries({ type: "inactive" });
    void this.#client.resetQueries();
  }

  #cancelAll(): void {
    for (const { timer } of this.#pending.values()) clearTimeout(timer);
    this.#pending.clear();
  }
}

/** Nothing of the user stays: what is under way is cancelled, what is shown is emptied, what is cached goes. */
export function emptyCache(client: QueryClient): void {
  // The promise is only about fetches that have ended by then; they are cancelled now.
  void client.cancelQueries(undefined, { silent: true });
  for (const query of client.getQueryCache().getAll()) query.reset();
  client.clear();
}
