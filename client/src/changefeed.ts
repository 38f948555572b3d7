/**
 * Changefeed: the rim around the machine. It carries out what the machine orders, and hands on what arrives.
 *
 * Guarantees: no two messages with the same id are handed on; a listener may call anything, also stop(); after stop() and
 * forget() there is no connection, no timer and no listener left that was ours. Assumes nothing of the platform but what
 * the option `platform` names.
 */

import { type Feed, type FeedEvents, retainer } from "./feed.js";
import { Links } from "./links.js";
import { Listeners } from "./listeners.js";
import { consoleLog, type Log } from "./log.js";
import { reduce } from "./machine.js";
import type { ServerMessage } from "./messages.js";
import { type ChangefeedOptions, ladderOf, platformOf, urlOf, wishesOf } from "./options.js";
import type { Parsed } from "./parse.js";
import { Recent } from "./recent.js";
import type { Order, Signal } from "./signal.js";
import { initial, type Machine, type Snapshot, snapshotOf } from "./state.js";
import { listenTo, type View } from "./surroundings.js";
import { Timers } from "./timers.js";
import { type Platform, type Sink, textOf, type Wishes } from "./transport.js";

export class Changefeed implements Feed {
  readonly #options: ChangefeedOptions;
  readonly #view: View;
  readonly #platform: Platform;
  readonly #log: Log;
  readonly #listeners: Listeners<FeedEvents>;
  readonly #recent = new Recent();
  readonly #links: Links;
  readonly #timers: Timers;
  readonly #waiting: Signal[] = [];
  #machine: Machine;
  #snapshot: Snapshot;
  #wishes: Wishes;
  #unlisten: (() => void) | null = null;
  #busy = false;

  readonly retain: () => () => void;

  constructor(options: ChangefeedOptions) {
    this.#options = options;
    this.#view = options.view ?? (globalThis as View);
    this.#platform = platformOf(options);
    this.#log = options.log ?? consoleLog;
    this.#listeners = new Listeners(this.#log);
    this.#links = new Links(options, this.#platform, (attempt) => this.#sinkOf(attempt));
    this.#timers = new Timers(this.#platform, (timer) => this.#dispatch({ type: `${timer}-due` } as Signal));
    this.#wishes = wishesOf(options);
    this.#machine = initial(ladderOf(options), options.since ?? null);
    this.#snapshot = snapshotOf(this.#machine);
    this.retain = retainer(
      () => this.start(),
      () => this.stop(),
      (callback) => void this.#platform.setTimeout(callback, 0),
    );
  }

  // Arrow functions, because React wants to be handed the methods themselves.
  readonly getSnapshot = (): Snapshot => this.#snapshot;

  readonly on: Feed["on"] = (name, listener) => this.#listeners.on(name, listener);

  /** The place to go on from; null where nothing was received yet. */
  get cursor(): string | null {
    return this.#machine.cursor;
  }

  /** Throws where there is no address to go to. */
  start(): void {
    for (const transport of this.#machine.ladder) urlOf(this.#options, transport);
    this.#dispatch({ type: "start" });
    this.#unlisten ??= listenTo(this.#view, (type) => this.#dispatch({ type }));
  }

  stop(): void {
    this.#end(false);
  }

  forget(): void {
    this.#end(true);
    this.#recent.clear();
    this.#links.forgetToken();
  }

  renew(): void {
    this.#dispatch({ type: "renew" });
  }

  /** Somebody looks: find out whether the connection still stands. */
  wake(): void {
    this.#dispatch({ type: "visible" });
  }

  subscribe(wishes: Wishes): void {
    this.#wishes = { ...this.#wishes, ...wishesOf(wishes) };
    this.#dispatch({ type: "subscribe" });
  }

  #end(forget: boolean): void {
    this.#dispatch({ type: "stop", forget });
    this.#unlisten?.();
    this.#unlisten = null;
  }

  /** One signal after the other: what a listener causes comes after what it was told of. */
  #dispatch(signal: Signal): void {
    this.#waiting.push(signal);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) this.#step(next);
    } finally {
      this.#busy = false;
    }
  }

  #step(signal: Signal): void {
    const moment = { now: this.#platform.now(), chance: this.#platform.random() };
    const [machine, orders] = reduce(this.#machine, signal, moment);
    const place = this.#machine.cursor;
    this.#machine = machine;
    const before = this.#snapshot;
    this.#snapshot = snapshotOf(machine, before);
    for (const order of orders) this.#obey(order);
    // After the messages that it stands for, so that whoever stores it has them.
    if (machine.cursor !== place && machine.cursor !== null) this.#listeners.tell("place", machine.cursor);
    if (this.#snapshot !== before) this.#listeners.tell("change", this.#snapshot);
  }

  #obey(order: Order): void {
    switch (order.type) {
      case "connect":
        this.#links.open(order, this.#wishes);
        break;
      case "disconnect":
        this.#links.close(order.attempt);
        break;
      case "release":
        this.#links.closeAll();
        this.#timers.cancelAll();
        break;
      case "schedule":
        this.#timers.schedule(order.timer, order.delay);
        break;
      case "cancel":
        this.#timers.cancel(order.timer);
        break;
      case "ping":
        this.#links.send(order.attempt, { type: "ping" });
        break;
      case "refresh":
        void this.#refresh(order.attempt);
        break;
      case "resubscribe":
        this.#resubscribe(order.attempt);
        break;
      case "deliver":
        this.#deliver(order.message);
        break;
      case "joined":
        this.#listeners.tell("joined", order.joined);
        break;
      case "resync":
        this.#listeners.tell("resync", order.resync);
        break;
      case "refused":
        this.#log("warn", `refused with ${order.refusal.code}: ${order.refusal.message}`);
        this.#listeners.tell("refused", order.refusal);
        break;
      case "log":
        this.#log("warn", order.text);
        break;
    }
  }

  #sinkOf(attempt: number): Sink {
    return {
      parsed: (values) => {
        for (const value of values) this.#receive(attempt, value);
      },
      alive: (cursor) => this.#dispatch({ type: "heard", attempt, cursor }),
      closed: (closing) => this.#dispatch({ type: "closed", attempt, closing }),
      noToken: () => this.#dispatch({ type: "no-token", attempt }),
    };
  }

  #receive(attempt: number, value: Parsed): void {
    if ("message" in value) {
      const { message } = value;
      if (message.type === "ready") this.#dispatch({ type: "ready", attempt, message });
      else this.#dispatch({ type: "message", attempt, message });
      return;
    }
    // A listener of the message before may have ended the connection.
    if (!this.#links.has(attempt)) return;
    const { unreadable } = value;
    this.#log("warn", `ignored a message ${unreadable.reason}`, unreadable.type ?? undefined);
    this.#listeners.tell("unreadable", unreadable);
    this.#dispatch({ type: "heard", attempt, cursor: unreadable.cursor });
  }

  #deliver(message: ServerMessage): void {
    if (message.id !== undefined && !this.#recent.add(message.id)) return;
    this.#listeners.tell("message", message);
  }

  async #refresh(attempt: number): Promise<void> {
    let refreshed = false;
    try {
      refreshed = await this.#links.refresh(attempt);
    } catch (error) {
      this.#log("warn", `no token: ${textOf(error)}`);
    }
    if (!refreshed && this.#links.has(attempt)) this.#dispatch({ type: "refresh-failed" });
  }

  #resubscribe(attempt: number): void {
    const { topics, mode, minInterval } = this.#wishes;
    this.#links.send(attempt, {
      type: "subscribe",
      ...(topics && { topics }),
      ...(mode && { mode }),
      ...(minInterval !== undefined && { min_interval: Math.round(minInterval) }),
    });
  }
}
