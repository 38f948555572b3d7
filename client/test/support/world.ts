/**
 * A world for the machine: it carries out orders on paper, and remembers what is open, what runs and what was said.
 *
 * Throws where an order makes no sense (a second connection, a message to a closed one), so that every test checks that.
 */

import { type Moment, reduce } from "../../src/machine.js";
import type { Order, Signal, Timer } from "../../src/signal.js";
import { initial, type Machine, snapshotOf, type Transport } from "../../src/state.js";
import { LOSS } from "./closings.js";
import { ready } from "./messages.js";

export interface Opened {
  readonly transport: Transport;
  readonly since: string | null;
  readonly another: boolean;
}

export class World {
  machine: Machine;
  readonly open = new Map<number, Opened>();
  /** Timer to the time at which it is due. */
  readonly timers = new Map<Timer, number>();
  readonly orders: Order[] = [];
  now = 1_000_000;
  chance = 0.5;

  constructor(ladder: readonly Transport[] = ["websocket", "sse", "poll"], cursor: string | null = null) {
    this.machine = initial(ladder, cursor);
  }

  /** Sends a signal; returns the orders that it caused. */
  send(signal: Signal): readonly Order[] {
    const moment: Moment = { now: this.now, chance: this.chance };
    const [machine, orders] = reduce(this.machine, signal, moment);
    this.machine = machine;
    for (const order of orders) this.#carryOut(order);
    this.orders.push(...orders);
    return orders;
  }

  get phase() {
    return this.machine.phase.name;
  }

  get state() {
    return snapshotOf(this.machine).state;
  }

  get transport() {
    return snapshotOf(this.machine).transport;
  }

  /** The attempt that is the connection, or is to become it. */
  get main(): number {
    const { phase } = this.machine;
    if (phase.name !== "connecting" && phase.name !== "live") throw new Error(`no attempt in ${phase.name}`);
    return phase.attempt.id;
  }

  get probe(): number {
    const { phase } = this.machine;
    if (phase.name !== "live" || !phase.probe) throw new Error("no probe");
    return phase.probe.id;
  }

  /** Starts, and becomes live on the first transport. */
  begin(data: Parameters<typeof ready>[0] = {}): this {
    this.send({ type: "start" });
    this.join(data);
    return this;
  }

  join(data: Parameters<typeof ready>[0] = {}, cursor: string | null = "cursor-0"): readonly Order[] {
    return this.send({ type: "ready", attempt: this.main, message: ready(data, cursor) });
  }

  lose(): readonly Order[] {
    return this.send({ type: "closed", attempt: this.main, closing: LOSS });
  }

  /** Lets a timer run out, at its time. */
  elapse(timer: Timer): readonly Order[] {
    const due = this.timers.get(timer);
    if (due === undefined) throw new Error(`${timer} does not run`);
    this.now = Math.max(this.now, due);
    this.timers.delete(timer);
    return this.send({ type: `${timer}-due` } as Signal);
  }

  delay(timer: Timer): number {
    const due = this.timers.get(timer);
    if (due === undefined) throw new Error(`${timer} does not run`);
    return due - this.now;
  }

  #carryOut(order: Order): void {
    switch (order.type) {
      case "connect":
        if (this.open.has(order.attempt)) throw new Error("the attempt is there already");
        this.open.set(order.attempt, order);
        if (this.open.size > 2) throw new Error("more than a connection and a probe");
        break;
      case "disconnect":
        this.open.delete(order.attempt);
        break;
      case "release":
        this.open.clear();
        this.timers.clear();
        break;
      case "schedule":
        if (!(order.delay >= 0)) throw new Error(`a delay of ${order.delay}`);
        this.timers.set(order.timer, this.now + order.delay);
        break;
      case "cancel":
        this.timers.delete(order.timer);
        break;
      case "ping":
      case "refresh":
      case "resubscribe":
        if (this.open.get(order.attempt)?.transport !== "websocket")
          throw new Error(`${order.type} on what is no open WebSocket`);
        break;
      default:
    }
  }
}

/** The orders of one kind. */
export function only<T extends Order["type"]>(orders: readonly Order[], type: T) {
  return orders.filter((order): order is Extract<Order, { type: T }> => order.type === type);
}
