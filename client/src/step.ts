/**
 * Steps: what the machine does when it leaves a phase or enters one. The cells of the table are made of them.
 *
 * Guarantees: whoever leaves `live` or `connecting` releases every connection and every timer first, so that nothing of the
 * old phase can speak in the new one. Every phase that is not an end is entered together with a timer or a connection
 * that moves it on. Pure: the time and chance are passed in.
 */

import type { ReadyData, ReadyMessage } from "./messages.js";
import {
  answered,
  backoff,
  type Closing,
  patience,
  postponed,
  TIMING,
  UNREACHABLE_AFTER,
  untilProbe,
  verdictOf,
} from "./policy.js";
import { closeCodeOf } from "./shapes.js";
import type { Joined, Order } from "./signal.js";
import type { Attempt, In, Machine, Refusal } from "./state.js";

export interface Moment {
  readonly now: number;
  /** From 0 to 1. */
  readonly chance: number;
}

export type Step = readonly [Machine, readonly Order[]];

export const stay = (machine: Machine): Step => [machine, []];

export function connect(machine: Machine, { now }: Moment, another = false): Step {
  const [attempt, order] = attemptOn(machine, machine.rung, another);
  return [
    {
      ...machine,
      phase: { name: "connecting", attempt },
      attempts: attempt.id,
      attemptedAt: now,
      advice: null,
      complaint: null,
    },
    [{ type: "release" }, order, { type: "schedule", timer: "opening", delay: TIMING.opening }],
  ];
}

function attemptOn(machine: Machine, rung: number, another: boolean): [Attempt, Order] {
  const attempt = { id: machine.attempts + 1, rung, resumed: machine.cursor !== null };
  const transport = machine.ladder[rung] ?? "poll";
  return [attempt, { type: "connect", attempt: attempt.id, transport, since: machine.cursor, another }];
}

/** As connect(), but not while the server wants to be left alone, nor right after the last attempt: whoever switches tabs
 * to and fro must not storm it. */
export function hurry(machine: In<"waiting">, moment: Moment): Step {
  const soonest = Math.max(machine.phase.notBefore, machine.attemptedAt + TIMING.attemptsApart);
  return moment.now < soonest ? stay(machine) : connect(machine, moment);
}

function wait(machine: Machine, delay: number, notBefore = 0): Step {
  return [
    { ...machine, phase: { name: "waiting", notBefore }, retries: machine.retries + 1, advice: null },
    [{ type: "release" }, { type: "schedule", timer: "retry", delay }],
  ];
}

export function refuse(machine: Machine, refusal: Refusal): Step {
  return [
    { ...machine, phase: { name: "refused", refusal } },
    [{ type: "release" }, { type: "refused", refusal }],
  ];
}

export function stop(machine: Machine, forget: boolean): Step {
  const { ladder, attempts, cursor, user, admin, topics } = machine;
  const kept = forget
    ? { cursor: null, user: null, admin: false, topics: [] }
    : { cursor, user, admin, topics };
  return [
    {
      ...kept,
      phase: { name: "stopped" },
      ladder,
      rung: 0,
      proven: null,
      attempts,
      attemptedAt: Number.NEGATIVE_INFINITY,
      failures: 0,
      unanswered: 0,
      retries: 0,
      probes: 0,
      tokenRefused: false,
      advice: null,
      complaint: null,
    },
    [{ type: "release" }],
  ];
}

export function goOffline(machine: Machine): Step {
  // Browsers are wrong about this now and then (a VPN, a machine that talks to itself), hence a slow retry all the same.
  return [
    {
      ...machine,
      phase: { name: "offline" },
      unanswered: Math.max(machine.unanswered, UNREACHABLE_AFTER),
      advice: null,
    },
    [{ type: "release" }, { type: "schedule", timer: "retry", delay: TIMING.largestRetry }],
  ];
}

export function suspend(machine: Machine): Step {
  return [{ ...machine, phase: { name: "suspended" }, advice: null }, [{ type: "release" }]];
}

/** The connection, or the attempt at one, has ended. */
export function lost(machine: In<"connecting"> | In<"live">, given: Closing, moment: Moment): Step {
  const closing = explained(given, machine);
  const verdict = verdictOf(closing);
  const { phase, complaint } = machine;
  // A second time without having held in between is no time to hurry.
  const atOnce = phase.name === "live" && machine.retries === 0;
  if (verdict === "refuse" || (verdict === "token" && machine.tokenRefused))
    return refuse(machine, { code: closing.code, message: complaint?.message ?? closing.reason });
  if (verdict === "token" && (atOnce || phase.name === "connecting"))
    return connect({ ...machine, tokenRefused: true, retries: machine.retries + 1 }, moment, true);
  if (phase.name === "live" && phase.probe) return promote(machine, phase.attempt, phase.probe);
  const after = { ...counted(machine, closing, moment), tokenRefused: verdict === "token" };
  if (verdict === "resume" && atOnce) return connect({ ...after, retries: 1 }, moment);
  const { now, chance } = moment;
  const asked = patienceAsked(closing, machine) ?? (verdict === "later" ? TIMING.retryAfter : null);
  if (asked !== null) return wait(after, postponed(asked, chance), now + asked);
  if (machine.advice !== null) return wait(after, Math.max(0, machine.advice - now), machine.advice);
  return wait(after, backoff(machine.retries, chance));
}

/** A stream of events has no close codes: it ends without a word, but an `error` came last. Elsewhere an old complaint
 * explains nothing: it may have been about a request. */
function explained(closing: Closing, { complaint, ladder, phase }: In<"connecting"> | In<"live">): Closing {
  if (ladder[phase.attempt.rung] !== "sse" || closing.kind !== "lost" || !complaint) return closing;
  const code = closeCodeOf[complaint.code];
  return code === undefined ? closing : { ...closing, kind: "closed", code };
}

/** Milliseconds, where the server said how long: in the header, or in the `error` that came before the close. */
function patienceAsked(closing: Closing, { complaint }: Machine): number | null {
  if (closing.retryAfter !== null) return closing.retryAfter;
  const announced = complaint !== null && closeCodeOf[complaint.code] === closing.code;
  return announced && complaint.retry_after !== undefined ? complaint.retry_after * 1000 : null;
}

/** Keeps account of who answers, and goes down a rung where nobody does. */
function counted(machine: In<"connecting"> | In<"live">, closing: Closing, { now }: Moment): Machine {
  const { phase, rung, ladder } = machine;
  if (closing.kind === "token") return machine;
  if (answered(closing)) return { ...machine, failures: 0, unanswered: 0 };
  if (phase.name === "live" && now - phase.since >= TIMING.stable) return machine;
  const failures = machine.failures + 1;
  const unanswered = machine.unanswered + (phase.name === "live" ? 0 : 1);
  const spent =
    closing.kind === "unavailable" || failures >= patience(ladder[rung] ?? "poll", machine.proven === rung);
  if (!spent) return { ...machine, failures, unanswered };
  return { ...machine, failures: 0, unanswered, rung: (rung + 1) % ladder.length };
}

/** The second attempt is what remains: it becomes the first. */
function promote(machine: Machine, ended: Attempt, probe: Attempt): Step {
  return [
    { ...machine, phase: { name: "connecting", attempt: probe }, rung: probe.rung, complaint: null },
    [
      { type: "disconnect", attempt: ended.id },
      ...(["silence", "stable", "probe", "probing", "advice", "refresh"] as const).map(
        (timer): Order => ({ type: "cancel", timer }),
      ),
      { type: "schedule", timer: "opening", delay: TIMING.opening },
    ],
  ];
}

/** `ready` has come on `attempt`, which is the connection from now on. */
export function join(machine: Machine, attempt: Attempt, message: ReadyMessage, moment: Moment): Step {
  const { data } = message;
  const { phase } = machine;
  const anotherUser = machine.user !== null && machine.user !== data.user_id;
  const orders: Order[] = [];
  // On a long poll it comes again and again, and the attempt may be the connection already.
  for (const former of phase.name === "live" ? [phase.attempt, phase.probe] : [])
    if (former && former.id !== attempt.id) orders.push({ type: "disconnect", attempt: former.id });
  for (const timer of ["opening", "probing", "probe", "advice", "refresh"] as const)
    orders.push({ type: "cancel", timer });
  orders.push(
    { type: "schedule", timer: "silence", delay: TIMING.silence },
    { type: "schedule", timer: "stable", delay: TIMING.stable },
  );
  if (attempt.rung > 0)
    orders.push({ type: "schedule", timer: "probe", delay: untilProbe(machine.probes, moment.chance) });
  const joined: Joined = {
    outcome: anotherUser ? "resync" : outcomeOf(data, attempt.resumed),
    anotherUser,
    topics: data.topics,
    clock: clockOf(message.timestamp, moment),
  };
  orders.push({ type: "joined", joined });
  return [
    {
      ...machine,
      phase: { name: "live", attempt, probe: null, since: moment.now, heard: moment.now, pinged: null },
      rung: attempt.rung,
      proven: attempt.rung,
      cursor: placeOf(machine, message),
      user: data.user_id,
      admin: data.admin,
      topics: data.topics,
      unanswered: 0,
      tokenRefused: false,
      advice: null,
      complaint: null,
    },
    orders,
  ];
}

export function clockOf(timestamp: string, { now }: Moment): number {
  return now - Date.parse(timestamp);
}

/** An outcome that is not known is the safe one. */
export function outcomeOf({ outcome }: ReadyData, resumed: boolean): Joined["outcome"] {
  if (outcome === "fresh") return resumed ? "fresh" : "first";
  return outcome === "replayed" ? "replayed" : "resync";
}

/**
 * Where to go on from after `ready` or `subscribed`. While the missed messages are still on their way, the place stays where
 * they begin: a break in the middle of them must not skip the rest.
 */
export function placeOf(machine: Machine, message: { cursor?: string; data: ReadyData }): string | null {
  if (message.data.outcome === "replayed" && machine.cursor !== null) return machine.cursor;
  return message.cursor ?? machine.cursor;
}

/** A second attempt beside the connection, on `rung`. */
export function startProbe(machine: In<"live">, rung: number): Step {
  if (machine.phase.probe) return stay(machine);
  const [probe, order] = attemptOn(machine, rung, false);
  return [
    { ...machine, phase: { ...machine.phase, probe }, attempts: probe.id },
    [order, { type: "schedule", timer: "probing", delay: TIMING.opening }],
  ];
}

/** The second attempt has failed. The connection is not touched. */
export function endProbe(machine: In<"live">, { chance }: Moment): Step {
  const { probe, attempt } = machine.phase;
  if (!probe) return stay(machine);
  const better = probe.rung < attempt.rung;
  const probes = machine.probes + (better ? 1 : 0);
  const orders: Order[] = [
    { type: "disconnect", attempt: probe.id },
    { type: "cancel", timer: "probing" },
  ];
  if (!better) orders.push({ type: "schedule", timer: "advice", delay: TIMING.refreshAgain });
  if (attempt.rung > 0) orders.push({ type: "schedule", timer: "probe", delay: untilProbe(probes, chance) });
  return [{ ...machine, phase: { ...machine.phase, probe: null }, probes }, orders];
}
