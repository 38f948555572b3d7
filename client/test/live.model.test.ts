/**
 * The states and events of the client against the real server and a real PostgreSQL: in every state, every event that an
 * application, a browser and a network can cause; then random histories of them. Whatever happened, the state is the
 * table's, and each change of the row arrives once, in its order. Skipped where CHANGEFEED_DEMO names no server.
 */

import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Changefeed } from "../src/changefeed.js";
import type { InputName } from "../src/signal.js";
import type { FeedState, PhaseName, Transport } from "../src/state.js";
import { absent, demo, move, nodeIn, open, told } from "./support/demo.js";
import { LEADS, PHASES } from "./support/leads.js";
import { FakeView } from "./support/sockets.js";

/** Delays are this many times shorter than the real ones. */
const HASTE = 10;
const LONGEST = 60_000;

const EVENTS = {
  start: ({ feed }) => feed.start(),
  stop: ({ feed }) => feed.stop(),
  renew: ({ feed }) => feed.renew(),
  subscribe: ({ feed }) => feed.subscribe({ minInterval: 0 }),
  online: ({ view }) => view.cause("online"),
  offline: ({ view }) => view.cause("offline"),
  visible: ({ view }) => view.cause("visibilitychange"),
  pagehide: ({ view }) => view.cause("pagehide"),
  pageshow: ({ view }) => view.cause("pageshow"),
  closed: (user) => user.cut(),
} satisfies Partial<Record<InputName, (user: User) => void>>;
type EventName = keyof typeof EVENTS;
const NAMES = Object.keys(EVENTS) as EventName[];

/** Somebody with a feed, and with a network that can be cut. */
class User {
  readonly view = new FakeView();
  readonly seen: string[] = [];
  readonly written: string[] = [];
  readonly feed: Changefeed;
  token = demo.tokens.user1;
  readonly #shown: FeedState;
  readonly #sockets = new Set<WebSocket>();
  #requests = new AbortController();
  /** Requests under way, where each is one of many. */
  #asking = 0;

  constructor(transport: Transport) {
    this.#shown = transport === "poll" ? "polling" : "live";
    const sockets = this.#sockets;
    const Cuttable = class extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        sockets.add(this);
        this.on("close", () => sockets.delete(this));
      }
    };
    this.feed = open("user1", {
      transports: [transport],
      view: this.view,
      getToken: () => this.token,
      log: () => {},
      platform: {
        WebSocket: Cuttable as never,
        random: () => 0,
        setTimeout: (callback, delay) => setTimeout(callback, delay / HASTE),
        fetch: (address, init) => this.#fetch(address, init),
      },
    });
    this.feed.on("message", (message) => {
      const node = nodeIn(message);
      if (node !== null) this.seen.push(node);
    });
  }

  cut(): void {
    for (const socket of this.#sockets) socket.terminate();
    this.#requests.abort();
    // Between two polls there is nothing to be cut but the next one.
    if (this.#asking > 0 || this.feed.getSnapshot().state !== "polling")
      this.#requests = new AbortController();
  }

  readonly #fetch: typeof fetch = async (address, init) => {
    const network = this.#requests.signal;
    if (network.aborted) this.#requests = new AbortController();
    const signals = [init?.signal, network].filter((one) => one instanceof AbortSignal);
    this.#asking++;
    try {
      return await fetch(address, { ...init, signal: AbortSignal.any(signals) });
    } finally {
      this.#asking--;
    }
  };

  /** What is shown after an event: without a network there is none, until the browser says that it is back. */
  stateAfter(event: EventName, phase: PhaseName): FeedState {
    if (phase === "offline" && event !== "online") return "offline";
    return this.stateIn(LEADS[event][PHASES.indexOf(phase)] as PhaseName);
  }

  stateIn(phase: PhaseName): FeedState {
    const states: Record<PhaseName, FeedState> = {
      stopped: "offline",
      connecting: "connecting",
      live: this.#shown,
      waiting: "connecting",
      offline: "offline",
      suspended: "connecting",
      refused: "offline",
    };
    return states[phase];
  }

  async shows(state: FeedState): Promise<void> {
    const fits = () => this.feed.getSnapshot().state === state;
    if (!fits()) await told(this.feed, "change", fits);
  }

  async write(): Promise<void> {
    const node = randomUUID();
    this.written.push(node);
    await move(node);
  }

  /** Everything is well again, whatever it was. */
  async recover(): Promise<void> {
    this.token = demo.tokens.user1;
    this.feed.start();
    this.feed.renew();
    this.view.cause("online");
    this.view.cause("pageshow");
    await this.shows(this.#shown);
  }

  /** Waits for what was written last, and sees that everything before it has come, once and in its order. */
  async hasEverything(): Promise<void> {
    const last = this.written.at(-1);
    if (this.seen.at(-1) !== last) await told(this.feed, "message", (message) => nodeIn(message) === last);
    expect(this.seen).toEqual(this.written);
  }

  async enter(phase: PhaseName): Promise<void> {
    await this.recover();
    switch (phase) {
      case "stopped":
        this.feed.stop();
        break;
      case "connecting":
        this.feed.stop();
        this.feed.start();
        break;
      case "waiting":
        this.cut();
        await this.shows("connecting");
        break;
      case "offline":
        this.view.cause("offline");
        break;
      case "suspended":
        this.view.cause("pagehide");
        break;
      case "refused":
        this.token = "nonsense";
        this.feed.stop();
        this.feed.start();
        await told(this.feed, "refused", ({ code }) => code === 4401);
        break;
    }
    expect(this.feed.getSnapshot().state).toBe(this.stateIn(phase));
  }
}

describe.skipIf(absent).each<Transport>(["websocket", "sse", "poll"])("over %s", (transport) => {
  let user: User;
  beforeEach(async () => {
    user = new User(transport);
    await user.recover();
  });
  afterEach(() => user.feed.stop());

  test.each(PHASES)(
    "in the phase %s every event leads where it is to lead, and nothing is lost",
    {
      timeout: LONGEST,
    },
    async (phase) => {
      for (const name of NAMES) {
        await user.enter(phase);
        EVENTS[name](user);
        const expected = user.stateAfter(name, phase);
        // That a connection has ended is heard of a moment later.
        if (name === "closed") await user.shows(expected);
        expect([name, user.feed.getSnapshot().state]).toEqual([name, expected]);
        await user.write();
      }
      await user.recover();
      await user.hasEverything();
    },
  );

  test("after any history nothing is lost, nothing comes twice, and nothing overtakes", {
    timeout: LONGEST,
  }, async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...NAMES) },
      { weight: 3, arbitrary: fc.constantFrom("write", "recover", "refuse") },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 15 }), async (steps) => {
        for (const one of steps) {
          if (one === "write") await user.write();
          else if (one === "recover") await user.recover();
          else if (one === "refuse") user.token = "nonsense";
          else EVENTS[one as EventName](user);
        }
        await user.write();
        await user.recover();
        await user.hasEverything();
      }),
      { numRuns: 8, seed: 4 },
    );
  });
});
