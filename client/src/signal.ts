/**
 * Signal: what can happen to the machine, and what it wants done about it.
 *
 * Signals come from the rim (connections, timers, the browser, the application) and go into reduce(); orders come out and
 * are carried out by the rim, in their order. Nothing else passes between the two.
 */

import type { ReadyMessage, ResyncMessage, ServerMessage } from "./messages.js";
import type { Closing } from "./policy.js";
import type { Refusal, Transport } from "./state.js";

export type Timer = "retry" | "opening" | "silence" | "stable" | "probe" | "probing" | "advice" | "refresh";

/** Said by a connection, which names its attempt. */
export type Report =
  | { readonly type: "ready"; readonly attempt: number; readonly message: ReadyMessage }
  | {
      readonly type: "message";
      readonly attempt: number;
      readonly message: Exclude<ServerMessage, ReadyMessage>;
    }
  /** A sign of life, perhaps with a place. */
  | { readonly type: "heard"; readonly attempt: number; readonly cursor: string | null }
  | { readonly type: "closed"; readonly attempt: number; readonly closing: Closing }
  /** There is no token, or no other than the one that was refused. */
  | { readonly type: "no-token"; readonly attempt: number };

/** Said by the machine's surroundings. */
export type Event =
  | { readonly type: "start" }
  /** `forget`: the cursor and the user as well. */
  | { readonly type: "stop"; readonly forget: boolean }
  /** The application has a new token. */
  | { readonly type: "renew" }
  /** What the application wants to receive has changed. */
  | { readonly type: "subscribe" }
  | { readonly type: "refresh-failed" }
  | { readonly type: "online" }
  | { readonly type: "offline" }
  | { readonly type: "visible" }
  | { readonly type: "pagehide" }
  | { readonly type: "pageshow" }
  | { [T in Timer]: { readonly type: `${T}-due` } }[Timer];

export type Signal = Report | Event;

/** A signal as the table sees it: reports of the probe under their own names, those of a former attempt not at all. */
export type Input =
  | Signal
  | { readonly type: "probe-ready"; readonly message: ReadyMessage }
  | { readonly type: "probe-closed" };

export type InputName = Input["type"];

export type Order =
  /** Ask for a token and open a connection. `another`: the token must not be the last one. */
  | {
      readonly type: "connect";
      readonly attempt: number;
      readonly transport: Transport;
      readonly since: string | null;
      readonly another: boolean;
    }
  | { readonly type: "disconnect"; readonly attempt: number }
  /** Every connection and every timer. */
  | { readonly type: "release" }
  | { readonly type: "schedule"; readonly timer: Timer; readonly delay: number }
  | { readonly type: "cancel"; readonly timer: Timer }
  | { readonly type: "ping"; readonly attempt: number }
  /** Ask for a token and send it on the open connection. */
  | { readonly type: "refresh"; readonly attempt: number }
  | { readonly type: "resubscribe"; readonly attempt: number }
  | { readonly type: "deliver"; readonly message: ServerMessage }
  | { readonly type: "joined"; readonly joined: Joined }
  | { readonly type: "resync"; readonly resync: Resync }
  | { readonly type: "refused"; readonly refusal: Refusal }
  | { readonly type: "log"; readonly text: string };

/** The stream was joined. */
export interface Joined {
  /**
   * `fresh`: nothing was missed. `replayed`: what was missed follows. `resync`: fetch everything again. `first`: nothing is
   * known of the time before, so whatever was fetched before this moment may be out of date.
   */
  readonly outcome: "first" | "fresh" | "replayed" | "resync";
  /** Another user than before: what is cached belongs to somebody else. */
  readonly anotherUser: boolean;
  readonly topics: readonly string[];
  /** Milliseconds by which our clock is ahead of the server's, and the way here with it. */
  readonly clock: number;
}

export type Resync = Pick<ResyncMessage["data"], "sources" | "spread_ms"> & { readonly reason: string };
