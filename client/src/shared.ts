/**
 * SharedChangefeed: one connection for all tabs of a browser.
 *
 * A Web Lock elects one tab, which holds the connection and repeats everything to the others over a BroadcastChannel. When
 * it goes, the lock goes to the next tab, which goes on from the last place that it was told; what is replayed twice is
 * dropped by its id. Where either API is missing, every tab holds a connection of its own.
 *
 * Assumes that all tabs of one name have the same user and want the same: put the user's id into the name; what one asks
 * for with subscribe() is asked for all. A tab that is hidden for good or goes into the back/forward cache resigns.
 */

import { Changefeed } from "./changefeed.js";
import { type Feed, type FeedEvents, retainer } from "./feed.js";
import { Listeners } from "./listeners.js";
import { consoleLog } from "./log.js";
import { type ChangefeedOptions, platformOf, wishesOf } from "./options.js";
import { Recent } from "./recent.js";
import type { Joined } from "./signal.js";
import { initial, type Snapshot, snapshotOf } from "./state.js";
import { listenTo, type View } from "./surroundings.js";
import type { Wishes } from "./transport.js";

/** As much of BroadcastChannel as is used. */
export interface Channel {
  onmessage: ((event: { data: unknown }) => unknown) | null;
  postMessage(data: unknown): void;
  close(): void;
}

/** As much of the lock manager as is used. */
export interface Locks {
  request(name: string, options: { signal: AbortSignal }, held: () => Promise<void>): Promise<unknown>;
}

export interface SharedOptions extends ChangefeedOptions {
  /** Which tabs belong together: those of one user. A function is asked at each start, for whoever is logged in then. */
  readonly name: string | (() => string);
  readonly locks?: Locks;
  readonly channel?: (name: string) => Channel;
}

/** What is repeated to the other tabs. */
const REPEATED = ["message", "joined", "resync", "unreadable", "refused", "place"] as const;

/** What a tab that came later has to know: how the stream was joined, from where on it hears everything, and what of. */
interface Welcome {
  /** Null: not yet. */
  readonly joined: Joined | null;
  readonly cursor: string | null;
  readonly wishes: Wishes;
}

type Note =
  | { readonly kind: "hello" }
  | { readonly kind: "snapshot"; readonly snapshot: Snapshot; readonly welcome: Welcome | null }
  | { readonly kind: "event"; readonly name: (typeof REPEATED)[number]; readonly value: never }
  | { readonly kind: "renew" }
  | { readonly kind: "wake" }
  | { readonly kind: "subscribe"; readonly wishes: Wishes };

const APART = snapshotOf(initial(["websocket"], null));

export class SharedChangefeed implements Feed {
  readonly #options: SharedOptions;
  readonly #listeners: Listeners<FeedEvents>;
  readonly #recent = new Recent();
  readonly #locks: Locks | undefined;
  #channel: Channel | null = null;
  #leader: Changefeed | null = null;
  #resign: (() => void) | null = null;
  #unlisten: (() => void) | null = null;
  /** How the stream was joined last; null where this tab has not heard of it. */
  #joined: Joined | null = null;
  #snapshot: Snapshot = APART;
  #cursor: string | null;
  /** What was asked for last, in whichever tab: whoever leads asks for it. */
  #wishes: Wishes = {};

  readonly retain: () => () => void;

  constructor(options: SharedOptions) {
    const scope = globalThis as { navigator?: { locks?: Locks }; BroadcastChannel?: unknown };
    this.#options = options;
    this.#listeners = new Listeners(options.log ?? consoleLog);
    this.#locks = options.locks ?? (scope.BroadcastChannel ? scope.navigator?.locks : undefined);
    this.#cursor = options.since ?? null;
    const { setTimeout } = platformOf(options);
    this.retain = retainer(
      () => this.start(),
      () => this.stop(),
      (callback) => void setTimeout(callback, 0),
    );
  }

  readonly getSnapshot = (): Snapshot => this.#snapshot;

  readonly on: Feed["on"] = (name, listener) => this.#listeners.on(name, listener);

  get cursor(): string | null {
    return this.#cursor;
  }

  /** Whether this tab holds the connection. */
  get leading(): boolean {
    return this.#leader !== null;
  }

  start(): void {
    if (this.#unlisten) return;
    this.#unlisten = listenTo(this.#options.view ?? (globalThis as View), (what) => {
      if (what === "pagehide") this.#leave();
      else if (what === "pageshow") this.#join();
      // The tab that holds the connection may be in the background, where nobody tells it.
      else if (what !== "offline" && !this.#leader) this.#post({ kind: "wake" });
    });
    this.#join();
  }

  stop(): void {
    this.#unlisten?.();
    this.#unlisten = null;
    this.#leave();
    this.#show(APART);
  }

  forget(): void {
    this.stop();
    this.#recent.clear();
    this.#cursor = null;
  }

  renew(): void {
    if (this.#leader) this.#leader.renew();
    else this.#post({ kind: "renew" });
  }

  subscribe(wishes: Wishes): void {
    this.#want(wishes);
    this.#post({ kind: "subscribe", wishes });
  }

  #want(wishes: Wishes): void {
    this.#wishes = { ...this.#wishes, ...wishesOf(wishes) };
    this.#leader?.subscribe(wishes);
  }

  #join(): void {
    if (this.#resign) return;
    const { name: given } = this.#options;
    const name = `changefeed:${typeof given === "string" ? given : given()}`;
    const controller = new AbortController();
    let release = () => {};
    const resigned = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#resign = () => {
      controller.abort();
      release();
    };
    this.#show({ ...APART, state: "connecting" });
    if (!this.#locks) {
      this.#lead();
      return;
    }
    this.#channel = this.#options.channel?.(name) ?? (new BroadcastChannel(name) as Channel);
    this.#channel.onmessage = ({ data }) => this.#hear(data as Note);
    this.#post({ kind: "hello" });
    this.#locks
      .request(name, { signal: controller.signal }, () => {
        if (!controller.signal.aborted) this.#lead();
        return resigned;
      })
      .catch(() => {
        // A tab that never led goes by aborting. Where locks are forbidden (an opaque origin), each tab is for itself.
        if (!controller.signal.aborted) this.#lead();
      });
  }

  #leave(): void {
    if (!this.#resign) return;
    // First, so that nobody is told of an end that is only this tab's.
    this.#channel?.close();
    this.#channel = null;
    this.#leader?.stop();
    this.#leader = null;
    this.#joined = null;
    this.#resign();
    this.#resign = null;
  }

  #lead(): void {
    const leader = new Changefeed({
      ...this.#options,
      ...this.#wishes,
      ...(this.#cursor !== null && { since: this.#cursor }),
    });
    this.#leader = leader;
    leader.on("change", (snapshot) => {
      this.#show(snapshot);
      this.#post({ kind: "snapshot", snapshot, welcome: null });
    });
    for (const name of REPEATED) {
      leader.on(name, (value) => {
        this.#take(name, value as never);
        this.#post({ kind: "event", name, value: value as never });
      });
    }
    leader.start();
  }

  /** Something from another tab. */
  #hear(note: Note): void {
    switch (note.kind) {
      case "hello":
        if (this.#leader) this.#greet(this.#leader);
        break;
      case "renew":
        this.#leader?.renew();
        break;
      case "wake":
        this.#leader?.wake();
        break;
      case "subscribe":
        this.#want(note.wishes);
        break;
      // Whoever holds the connection is told by it; what a former holder's tab still says comes again from there.
      case "snapshot":
        if (this.#leader) break;
        this.#show(note.snapshot);
        if (note.welcome) this.#welcome(note.welcome);
        break;
      case "event":
        if (this.#leader) break;
        this.#take(note.name, note.value);
        break;
    }
  }

  /** A tab that opens is an application that begins: a refusal may be over. */
  #greet(leader: Changefeed): void {
    if (leader.getSnapshot().refusal) leader.renew();
    const welcome = { joined: this.#joined, cursor: this.#cursor, wishes: this.#wishes };
    this.#post({ kind: "snapshot", snapshot: this.#snapshot, welcome });
  }

  /** The leader had joined before this tab came: what was fetched here before this moment may be out of date. */
  #welcome({ joined, cursor, wishes }: Welcome): void {
    if (this.#joined) return;
    this.#wishes = wishes;
    if (!joined) return;
    this.#joined = joined;
    this.#cursor = cursor;
    this.#listeners.tell("joined", { ...joined, outcome: "first", anotherUser: false });
  }

  #take<K extends (typeof REPEATED)[number]>(name: K, value: FeedEvents[K]): void {
    if (name === "place") this.#cursor = value as string;
    if (name === "joined") this.#joined = value as Joined;
    if (name === "message") {
      const { id } = value as FeedEvents["message"];
      if (id !== undefined && !this.#recent.add(id)) return;
    }
    this.#listeners.tell(name, value);
  }

  #show(snapshot: Snapshot): void {
    if (JSON.stringify(snapshot) === JSON.stringify(this.#snapshot)) return;
    this.#snapshot = snapshot;
    this.#listeners.tell("change", snapshot);
  }

  #post(note: Note): void {
    this.#channel?.postMessage(note);
  }
}
