/** A browser with several tabs: its locks and its channels. */

import { type Channel, type Locks, SharedChangefeed, type SharedOptions } from "../../src/shared.js";
import { FakeView, socketry } from "./sockets.js";

/** Locks, granted in the order in which they were asked for. */
export class FakeLocks implements Locks {
  readonly #queues = new Map<string, (() => void)[]>();
  readonly #held = new Set<string>();

  async request(
    name: string,
    { signal }: { signal: AbortSignal },
    held: () => Promise<void>,
  ): Promise<unknown> {
    const queue = this.#queues.get(name) ?? [];
    this.#queues.set(name, queue);
    if (this.#held.has(name)) {
      await new Promise<void>((resolve, reject) => {
        queue.push(resolve);
        signal.addEventListener("abort", () => {
          const at = queue.indexOf(resolve);
          if (at < 0) return;
          queue.splice(at, 1);
          reject(signal.reason);
        });
      });
    }
    this.#held.add(name);
    try {
      return await held();
    } finally {
      this.#held.delete(name);
      queue.shift()?.();
    }
  }
}

/** Channels of one name hear each other, later, and only copies. */
export class FakeChannels {
  readonly #open = new Map<string, Set<FakeChannel>>();

  readonly open = (name: string): Channel => {
    const peers = this.#open.get(name) ?? new Set();
    this.#open.set(name, peers);
    return new FakeChannel(peers);
  };
}

class FakeChannel implements Channel {
  onmessage: Channel["onmessage"] = null;
  readonly #peers: Set<FakeChannel>;

  constructor(peers: Set<FakeChannel>) {
    this.#peers = peers;
    peers.add(this);
  }

  postMessage(data: unknown): void {
    if (!this.#peers.has(this)) throw new Error("the channel is closed");
    const copy = structuredClone(data);
    for (const peer of this.#peers)
      if (peer !== this) queueMicrotask(() => this.#peers.has(peer) && peer.onmessage?.({ data: copy }));
  }

  close(): void {
    this.#peers.delete(this);
  }
}

interface Opened {
  readonly name?: SharedOptions["name"];
  /** Done before the feed is started. */
  readonly before?: (feed: SharedChangefeed) => void;
}

export function browser() {
  const { sockets, WebSocket } = socketry();
  const locks = new FakeLocks();
  const channels = new FakeChannels();
  const openTab = ({ before, name = "ada" }: Opened = {}) => {
    const view = new FakeView();
    const feed = new SharedChangefeed({
      name,
      url: "https://example.test",
      getToken: () => "token",
      transports: ["websocket"],
      log: () => {},
      view,
      locks,
      channel: channels.open,
      platform: { WebSocket, random: () => 0.5 },
    });
    const ids: string[] = [];
    const outcomes: string[] = [];
    feed.on("message", ({ id }) => ids.push(String(id)));
    feed.on("joined", ({ outcome }) => outcomes.push(outcome));
    before?.(feed);
    feed.start();
    return { feed, view, ids, outcomes };
  };
  return { sockets, openTab, channels };
}
