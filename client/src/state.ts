/**
 * State: what the connection's machine knows, and what it says to its user.
 *
 * A machine is a value. It is changed only by reduce() of machine.ts, and only the phase decides what may happen next.
 * What a phase needs stands in the phase, so that a machine that waits cannot hold a connection.
 */

import type { ErrorData } from "./messages.js";
import { UNREACHABLE_AFTER } from "./policy.js";

export type Transport = "websocket" | "sse" | "poll";

/** What a user is shown. */
export type FeedState = "connecting" | "live" | "polling" | "offline";

/** One attempt at a connection, which may become the connection. */
export interface Attempt {
  readonly id: number;
  /** Its transport: a place on the ladder. */
  readonly rung: number;
  /** Whether it asked to go on from a cursor. */
  readonly resumed: boolean;
}

/** Why the client has stopped for good. */
export interface Refusal {
  /** A close code of PROTOCOL.md; 4401 as well where the application has no token. */
  readonly code: number;
  readonly message: string;
}

export type Phase =
  /** Not started, or stopped by the application. */
  | { readonly name: "stopped" }
  | { readonly name: "connecting"; readonly attempt: Attempt }
  | {
      readonly name: "live";
      readonly attempt: Attempt;
      /** A second attempt, beside the connection: a better transport, or a successor. */
      readonly probe: Attempt | null;
      readonly since: number;
      readonly heard: number;
      /** When it was asked for a sign of life; null: it was not. */
      readonly pinged: number | null;
    }
  /** Between two attempts. A server that asked for patience is not asked again before `notBefore`, whatever happens. */
  | { readonly name: "waiting"; readonly notBefore: number }
  /** The browser says that there is no network. */
  | { readonly name: "offline" }
  /** The page is hidden for good or lies in the back/forward cache, which an open connection would keep it out of. */
  | { readonly name: "suspended" }
  | { readonly name: "refused"; readonly refusal: Refusal };

export type PhaseName = Phase["name"];

export interface Machine {
  readonly phase: Phase;
  /** The transports that can be used here, the best first. */
  readonly ladder: readonly Transport[];
  readonly rung: number;
  /** The rung that worked last. */
  readonly proven: number | null;
  /** The id of the newest attempt. */
  readonly attempts: number;
  readonly attemptedAt: number;
  /** The latest place up to which everything has been handed on. */
  readonly cursor: string | null;
  readonly user: string | null;
  readonly admin: boolean;
  /** What is received, as the server said last. */
  readonly topics: readonly string[];
  /** Attempts on this rung, one after the other, that nobody answered. */
  readonly failures: number;
  /** The same on any rung. */
  readonly unanswered: number;
  /** The exponent of the backoff. */
  readonly retries: number;
  readonly probes: number;
  /** The last token was refused: the next one must be another. */
  readonly tokenRefused: boolean;
  /** When the server wants to see us again; null: it said nothing. */
  readonly advice: number | null;
  /** What the server said last was wrong; precedes a close. */
  readonly complaint: ErrorData | null;
}

/** A machine in one phase. */
export type In<P extends PhaseName> = Machine & { readonly phase: Extract<Phase, { name: P }> };

export function initial(ladder: readonly Transport[], cursor: string | null): Machine {
  return {
    phase: { name: "stopped" },
    ladder,
    rung: 0,
    proven: null,
    attempts: 0,
    attemptedAt: Number.NEGATIVE_INFINITY,
    cursor,
    user: null,
    admin: false,
    topics: [],
    failures: 0,
    unanswered: 0,
    retries: 0,
    probes: 0,
    tokenRefused: false,
    advice: null,
    complaint: null,
  };
}

/** Everything a user interface needs to know. */
export interface Snapshot {
  readonly state: FeedState;
  /** The transport in use. */
  readonly transport: Transport | null;
  readonly userId: string | null;
  readonly admin: boolean;
  /** Why it is offline and stays so. */
  readonly refusal: Refusal | null;
}

function stateOf(machine: Machine): FeedState {
  const { phase } = machine;
  switch (phase.name) {
    case "live":
      return machine.ladder[phase.attempt.rung] === "poll" ? "polling" : "live";
    case "connecting":
    case "waiting":
    case "suspended":
      return machine.unanswered >= UNREACHABLE_AFTER ? "offline" : "connecting";
    default:
      return "offline";
  }
}

/** The snapshot, the same object as before where nothing in it has changed. */
export function snapshotOf(machine: Machine, before: Snapshot | null = null): Snapshot {
  const { phase, user, admin } = machine;
  const snapshot: Snapshot = {
    state: stateOf(machine),
    transport: phase.name === "live" ? (machine.ladder[phase.attempt.rung] ?? null) : null,
    userId: user,
    admin,
    refusal: phase.name === "refused" ? phase.refusal : null,
  };
  const same =
    before && (Object.keys(snapshot) as (keyof Snapshot)[]).every((k) => snapshot[k] === before[k]);
  return same ? before : snapshot;
}
