/**
 * The machine: reduce(machine, signal, moment) gives the next machine and the orders for the rim.
 *
 * The table below is the specification: every phase has a cell for every input, and the compiler refuses one that is
 * missing. SPEC.md explains it and names the tests of its invariants. Guarantees: pure and total; what a former attempt
 * still says is not heard; after `stop`, nothing but `start` has an effect.
 */

import {
  check,
  hear,
  network,
  probeBetter,
  proven,
  receive,
  rejoin,
  renewed,
  resubscribed,
  silence,
} from "./live.js";
import type { Input, InputName, Signal } from "./signal.js";
import type { In, Machine, PhaseName } from "./state.js";
import {
  connect,
  endProbe,
  goOffline,
  hurry,
  join,
  lost,
  type Moment,
  refuse,
  type Step,
  startProbe,
  stay,
  stop,
  suspend,
} from "./step.js";

export type { Moment, Step } from "./step.js";

type InputOf<N extends InputName> = Extract<Input, { type: N }>;
type Cell<P extends PhaseName, N extends InputName> = (
  machine: In<P>,
  input: InputOf<N>,
  moment: Moment,
) => Step;
export type Table = { readonly [P in PhaseName]: { readonly [N in InputName]: Cell<P, N> } };

/** Nothing to do here. */
const ignore = (machine: Machine): Step => stay(machine);
/** From a connection that this phase does not have. */
const stale = ignore;
/** From a timer that this phase does not run: it was released, and had been on its way. */
const late = ignore;

const NO_TOKEN = { code: 4401, message: "the application has no (other) token" };

const halt = (machine: Machine, { forget }: InputOf<"stop">): Step => stop(machine, forget);
const open = (machine: Machine, _: unknown, moment: Moment): Step => connect(machine, moment);
/** What was refused before says nothing of the token that there is now. */
const afresh = (machine: Machine, _: unknown, moment: Moment): Step =>
  connect({ ...machine, tokenRefused: false }, moment);
const overdue = { kind: "lost", code: 1006, reason: "not ready in time", retryAfter: null } as const;

/** What phases without a connection have in common. */
const apart = {
  ready: stale,
  message: stale,
  heard: stale,
  closed: stale,
  "no-token": stale,
  "probe-ready": stale,
  "probe-closed": stale,
  "refresh-failed": stale,
  "opening-due": late,
  "silence-due": late,
  "stable-due": late,
  "probe-due": late,
  "probing-due": late,
  "advice-due": late,
  "refresh-due": late,
  stop: halt,
  // The next attempt asks for what is wanted then.
  subscribe: ignore,
} as const;

export const TABLE: Table = {
  stopped: {
    ...apart,
    start: open,
    renew: ignore,
    online: ignore,
    offline: ignore,
    visible: ignore,
    pagehide: ignore,
    pageshow: ignore,
    "retry-due": late,
  },
  connecting: {
    start: ignore,
    stop: halt,
    // The token that is on its way was asked for before.
    renew: afresh,
    // The address that is being opened names what was wanted before.
    subscribe: open,
    ready: (machine, { message }, moment) => join(machine, machine.phase.attempt, message, moment),
    // Before `ready` only an `error` is to be expected. Whatever else comes is handed on, and is no place to go on from.
    message: (machine, { message }) =>
      message.type === "error"
        ? [{ ...machine, complaint: message.data }, [{ type: "deliver", message }]]
        : [machine, [{ type: "deliver", message }]],
    heard: ignore,
    closed: (machine, { closing }, moment) => lost(machine, closing, moment),
    "no-token": (machine) => refuse(machine, NO_TOKEN),
    "probe-ready": stale,
    "probe-closed": stale,
    "refresh-failed": stale,
    "retry-due": late,
    "opening-due": (machine, _, moment) => lost(machine, overdue, moment),
    "silence-due": late,
    "stable-due": late,
    "probe-due": late,
    "probing-due": late,
    "advice-due": late,
    "refresh-due": late,
    online: ignore,
    offline: goOffline,
    visible: ignore,
    pagehide: suspend,
    pageshow: ignore,
  },
  live: {
    start: ignore,
    stop: halt,
    renew: renewed,
    subscribe: resubscribed,
    ready: (machine, { message }, moment) => rejoin(machine, message, moment),
    message: receive,
    heard: (machine, { cursor }, moment) => stay(hear(machine, cursor, moment)),
    closed: (machine, { closing }, moment) => lost(machine, closing, moment),
    // A long poll asks for a token with each request.
    "no-token": (machine) => refuse(machine, NO_TOKEN),
    "probe-ready": (machine, { message }, moment) =>
      machine.phase.probe ? join(machine, machine.phase.probe, message, moment) : stay(machine),
    "probe-closed": (machine, _, moment) => endProbe(machine, moment),
    "refresh-failed": (machine) => [machine, [{ type: "schedule", timer: "refresh", delay: 5_000 }]],
    "retry-due": late,
    "opening-due": late,
    "silence-due": (machine, _, moment) => silence(machine, moment),
    "stable-due": proven,
    "probe-due": probeBetter,
    "probing-due": (machine, _, moment) => endProbe(machine, moment),
    "advice-due": (machine) => startProbe(machine, machine.phase.attempt.rung),
    "refresh-due": renewed,
    online: (machine, _, moment) => network(machine, moment),
    offline: goOffline,
    visible: (machine, _, moment) => check(machine, moment),
    pagehide: suspend,
    pageshow: (machine, _, moment) => check(machine, moment),
  },
  waiting: {
    ...apart,
    start: ignore,
    renew: (machine, _, moment) => hurry(machine, moment),
    online: (machine, _, moment) => hurry({ ...machine, rung: 0, failures: 0 }, moment),
    offline: goOffline,
    visible: (machine, _, moment) => hurry(machine, moment),
    pagehide: suspend,
    pageshow: (machine, _, moment) => hurry(machine, moment),
    "retry-due": open,
  },
  offline: {
    ...apart,
    start: open,
    renew: ignore,
    online: (machine, _, moment) => connect({ ...machine, rung: 0, failures: 0, unanswered: 0 }, moment),
    offline: ignore,
    visible: open,
    pagehide: suspend,
    pageshow: open,
    "retry-due": open,
  },
  suspended: {
    ...apart,
    start: open,
    renew: ignore,
    online: ignore,
    offline: ignore,
    // Not every browser sends `pageshow` when it should.
    visible: open,
    pagehide: ignore,
    pageshow: open,
    "retry-due": late,
  },
  refused: {
    ...apart,
    start: afresh,
    renew: afresh,
    online: ignore,
    offline: ignore,
    visible: ignore,
    pagehide: ignore,
    pageshow: ignore,
    "retry-due": late,
  },
};

/** Names the input by who said it. Null: somebody who has nothing to say any more. */
function heardAs(machine: Machine, signal: Signal): Input | null {
  if (!("attempt" in signal)) return signal;
  const { phase } = machine;
  if (phase.name !== "connecting" && phase.name !== "live") return null;
  if (signal.attempt === phase.attempt.id) return signal;
  if (phase.name !== "live" || signal.attempt !== phase.probe?.id) return null;
  switch (signal.type) {
    case "ready":
      return { type: "probe-ready", message: signal.message };
    case "closed":
    case "no-token":
      return { type: "probe-closed" };
    default:
      return null;
  }
}

export function reduce(machine: Machine, signal: Signal, moment: Moment): Step {
  const input = heardAs(machine, signal);
  if (!input) return stay(machine);
  // The cell of a phase takes a machine in that phase, which is what the lookup by the phase's name finds; the compiler
  // cannot follow that.
  const cell = TABLE[machine.phase.name][input.type] as (m: Machine, i: Input, at: Moment) => Step;
  return cell(machine, input, moment);
}
