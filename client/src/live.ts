/**
 * Live: what the machine does while it holds a connection: messages, signs of life, and tests of the silence.
 *
 * Guarantees: a place is taken over together with the message that carries it, never before; a connection is not given
 * up for silence without having been asked, where it can be asked. Timers may fire late (background tabs, a machine that
 * slept): a deadline that was missed by far proves nothing, because the answer may lie unread; it is asked again. Pure.
 */

import type { ReadyMessage, SubscribedMessage } from "./messages.js";
import { backoff, type Closing, TIMING } from "./policy.js";
import type { Order, Report } from "./signal.js";
import type { In, Transport } from "./state.js";
import {
  clockOf,
  connect,
  join,
  lost,
  type Moment,
  outcomeOf,
  placeOf,
  type Step,
  startProbe,
  stay,
} from "./step.js";

type Live = In<"live">;
type MessageReport = Extract<Report, { type: "message" }>;

const transportOf = (machine: Live): Transport => machine.ladder[machine.phase.attempt.rung] ?? "poll";

export function hear(machine: Live, cursor: string | null, { now }: Moment): Live {
  return {
    ...machine,
    phase: { ...machine.phase, heard: now, pinged: null },
    complaint: null,
    cursor: cursor ?? machine.cursor,
  };
}

export function receive(before: Live, { message }: MessageReport, moment: Moment): Step {
  const machine = hear(before, message.type === "subscribed" ? null : (message.cursor ?? null), moment);
  switch (message.type) {
    case "pong":
    case "heartbeat":
      return stay(machine);
    case "subscribed":
      return subscribed(machine, message, moment);
    case "resync":
      return [machine, [{ type: "resync", resync: message.data }]];
    case "token-expiring":
      return renewed(machine);
    case "reconnect": {
      // The server gives each client a moment of its own; ours is added for those that do not.
      const delay = message.data.after_ms + backoff(0, moment.chance);
      return [{ ...machine, advice: moment.now + delay }, [{ type: "schedule", timer: "advice", delay }]];
    }
    case "error":
      return [
        { ...machine, complaint: message.data },
        [
          { type: "log", text: `the server says ${message.data.code}: ${message.data.message}` },
          { type: "deliver", message },
        ],
      ];
    default:
      return [machine, [{ type: "deliver", message }]];
  }
}

/** The answer to `subscribe`, and to a token that was refreshed, which usually changes nothing. */
function subscribed(machine: Live, message: SubscribedMessage, moment: Moment): Step {
  const { data } = message;
  const { admin, topics } = data;
  // What is known of a new topic was fetched at some time before.
  const known = topics.every((topic) => machine.topics.includes(topic));
  const clock = clockOf(message.timestamp, moment);
  const joined = { outcome: outcomeOf(data, known), anotherUser: false, topics, clock };
  return [{ ...machine, admin, topics, cursor: placeOf(machine, message) }, [{ type: "joined", joined }]];
}

/** `ready` once more: each answer to a long poll begins with it. It says something only where it is not the usual. */
export function rejoin(machine: Live, message: ReadyMessage, moment: Moment): Step {
  const { data } = message;
  if (data.outcome === "resync" || data.user_id !== machine.user)
    return join(machine, machine.phase.attempt, message, moment);
  return stay({ ...hear(machine, null, moment), cursor: placeOf(machine, message) });
}

/** There is or should be a new token: it is sent where the connection can carry it, or a successor is opened with it. A
 * long poll asks for a token with every request anyway. */
export function renewed(machine: Live): Step {
  switch (transportOf(machine)) {
    case "websocket":
      return [machine, [{ type: "refresh", attempt: machine.phase.attempt.id }]];
    case "sse":
      return startProbe(machine, machine.phase.attempt.rung);
    case "poll":
      return stay(machine);
  }
}

/** The application wants to receive something else. */
export function resubscribed(machine: Live): Step {
  const { attempt, probe } = machine.phase;
  if (transportOf(machine) === "websocket") return [machine, [{ type: "resubscribe", attempt: attempt.id }]];
  // A second attempt that is under way asks for what was wanted before.
  const [next, orders] = startProbe({ ...machine, phase: { ...machine.phase, probe: null } }, attempt.rung);
  const dropped: Order[] = probe ? [{ type: "disconnect", attempt: probe.id }] : [];
  return [next, [...dropped, ...orders]];
}

/** Time to ask whether anybody is there. */
export function silence(machine: Live, moment: Moment): Step {
  const { heard, pinged } = machine.phase;
  const quiet = moment.now - heard;
  if (pinged === null) {
    if (quiet < TIMING.silence)
      return [machine, [{ type: "schedule", timer: "silence", delay: TIMING.silence - quiet }]];
    return transportOf(machine) === "websocket" ? ping(machine, moment) : silent(machine, moment);
  }
  const waited = moment.now - pinged;
  if (waited > 2 * TIMING.pong) return ping(machine, moment);
  return silent(machine, moment);
}

/** The page is looked at again, or the network came back: time to find out sooner. */
export function check(machine: Live, moment: Moment): Step {
  const { heard, pinged } = machine.phase;
  const quiet = moment.now - heard;
  switch (transportOf(machine)) {
    case "websocket":
      return pinged === null ? ping(machine, moment) : stay(machine);
    case "sse":
      return quiet > TIMING.streamSilence ? connect(machine, moment) : stay(machine);
    case "poll":
      return quiet > TIMING.silence ? connect(machine, moment) : stay(machine);
  }
}

/** Another network, perhaps: what was blocked before may pass now. */
export function network(machine: Live, moment: Moment): Step {
  const [next, orders] = check(machine, moment);
  if (next.phase.name !== "live" || next.phase.attempt.rung === 0) return [next, orders];
  const soon = TIMING.attemptsApart * moment.chance;
  return [{ ...next, probes: 0 }, [...orders, { type: "schedule", timer: "probe", delay: soon }]];
}

function ping(machine: Live, { now }: Moment): Step {
  return [
    { ...machine, phase: { ...machine.phase, pinged: now } },
    [
      { type: "ping", attempt: machine.phase.attempt.id },
      { type: "schedule", timer: "silence", delay: TIMING.pong },
    ],
  ];
}

const SILENT: Closing = { kind: "lost", code: 1006, reason: "no sign of life", retryAfter: null };

function silent(machine: Live, moment: Moment): Step {
  // An earlier complaint has nothing to do with the silence.
  return lost({ ...machine, complaint: null }, SILENT, moment);
}

/** Which better transport to try: the best first, then those below it, and again from the top. */
export function probeBetter(machine: Live): Step {
  const { attempt, probe } = machine.phase;
  if (attempt.rung === 0) return stay(machine);
  if (probe) return [machine, [{ type: "schedule", timer: "probe", delay: TIMING.firstProbe }]];
  return startProbe(machine, machine.probes % attempt.rung);
}

/** It has held: what went wrong before does not count any more. */
export function proven(machine: Live): Step {
  const probes = machine.phase.attempt.rung === 0 ? 0 : machine.probes;
  return stay({ ...machine, failures: 0, retries: 0, probes });
}
