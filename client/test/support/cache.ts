/** A query cache and a feed, both in the test's hand, and fetches that the test lets land. */

import { notifyManager, QueryClient, type QueryKey, QueryObserver } from "@tanstack/react-query";
import type { Feed, FeedEvents } from "../../src/feed.js";
import { Listeners } from "../../src/listeners.js";
import type { ServerMessage } from "../../src/messages.js";
import type { Rules } from "../../src/react/rules.js";
import { CacheSync, type SyncOptions } from "../../src/react/sync.js";
import type { Joined } from "../../src/signal.js";
import type { Snapshot } from "../../src/state.js";

/** A feed that says what the test says. */
export class FakeFeed implements Feed {
  readonly #listeners = new Listeners<FeedEvents>(() => {});
  snapshot: Snapshot = { state: "live", transport: "websocket", userId: "ada", admin: false, refusal: null };
  readonly getSnapshot = () => this.snapshot;
  readonly on: Feed["on"] = (name, listener) => this.#listeners.on(name, listener);
  start(): void {}
  stop(): void {}
  forget(): void {}
  renew(): void {}
  subscribe(): void {}
  retain(): () => void {
    return () => {};
  }

  tell<K extends keyof FeedEvents>(name: K, value: FeedEvents[K]): void {
    this.#listeners.tell(name, value);
  }

  say(...messages: readonly ServerMessage[]): void {
    for (const message of messages) this.tell("message", message);
  }

  join(outcome: Joined["outcome"], more: Partial<Joined> = {}): void {
    this.tell("joined", { outcome, anotherUser: false, topics: [], clock: 0, ...more });
  }

  get listening(): number {
    return this.#listeners.size;
  }
}

const freshClient = () =>
  new QueryClient({ defaultOptions: { queries: { staleTime: Number.POSITIVE_INFINITY, retry: false } } });

/** A cache that is kept by rules; `random` is a half unless it is given. */
export function keep(rules: Rules, more: SyncOptions & { client?: QueryClient } = {}) {
  const { client = freshClient(), ...options } = more;
  client.mount();
  const feed = new FakeFeed();
  const sync = new CacheSync(feed, client, rules, { random: () => 0.5, ...options });
  const end = () => {
    sync.dispose();
    client.clear();
    client.unmount();
  };
  return { client, feed, sync, end };
}

/** A query that is shown: when its fetches began, and what is seen of it. */
export function show<T>(client: QueryClient, queryKey: QueryKey, fetch: () => Promise<T> | T) {
  const begun: number[] = [];
  const seen: T[] = [];
  const observer = new QueryObserver<T>(client, {
    queryKey,
    queryFn: () => {
      begun.push(Date.now());
      return fetch();
    },
  });
  // As React does it: asked for when everything that belongs together has happened.
  const look = notifyManager.batchCalls(() => {
    const { data } = observer.getCurrentResult();
    if (data !== undefined && data !== seen.at(-1)) seen.push(data);
  });
  const hide = observer.subscribe(look);
  return { begun, seen, hide };
}

/** A fetch that takes so many milliseconds and shows what `read` gives at its beginning, as a snapshot does. */
export function slowly<T>(milliseconds: number, read: () => T): () => Promise<T> {
  return () => {
    const value = read();
    return new Promise((resolve) => setTimeout(() => resolve(value), milliseconds));
  };
}
