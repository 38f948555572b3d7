/**
 * Policy: how long to wait, and what a closed connection means.
 *
 * The figures of the client and the table of close codes, in one place. Pure: chance, a number from 0 to 1, is passed in.
 */

import type { Transport } from "./state.js";

/** Milliseconds. */
export const TIMING = {
  /** Full jitter: a delay lies between nothing and a bound, which doubles from the first to the largest. */
  firstRetry: 500,
  largestRetry: 30_000,
  /** A connection that has held this long was not luck: the bound starts from the first again. */
  stable: 10_000,
  /** From the attempt to `ready`: a slow network, and the server's 5 s to authenticate. */
  opening: 10_000,
  /** Two of the server's heartbeats (20 s) and some. After this long without a word the connection is tested. */
  silence: 45_000,
  /** On SSE a comment comes every 15 s, so that a page that is looked at again knows sooner. */
  streamSilence: 20_000,
  pong: 5_000,
  /** A better transport is tried again after this long, doubling up to the largest. */
  firstProbe: 5_000,
  largestProbe: 300_000,
  /** The server's grace for an expired token is 25 s, after 60 s of notice. */
  refreshAgain: 5_000,
  /** Attempts that a user can cause by switching tabs are this far apart at least. */
  attemptsApart: 1_000,
  /** Where a server says "later" without saying when. */
  retryAfter: 5_000,
} as const;

/** Attempts without an answer after which the user is told that there is no connection to be had. */
export const UNREACHABLE_AFTER = 3;

/** Attempts without an answer before the next transport is tried: more where it has worked before, because then the
 * server is likelier to be away than the transport to be blocked. */
export function patience(transport: Transport, proven: boolean): number {
  if (proven) return 4;
  return transport === "websocket" ? 2 : 1;
}

export function backoff(retries: number, chance: number): number {
  return chance * Math.min(TIMING.largestRetry, TIMING.firstRetry * 2 ** Math.min(retries, 30));
}

/** Never sooner than asked for, and spread over the same time again, so that those who were told together part. */
export function postponed(delay: number, chance: number): number {
  return delay * (1 + chance);
}

/** Half of it is certain: a probe opens a second connection, and is not urgent. */
export function untilProbe(probes: number, chance: number): number {
  return Math.min(TIMING.largestProbe, TIMING.firstProbe * 2 ** Math.min(probes, 30)) * (0.5 + chance / 2);
}

/** What to do after a connection was closed. */
export type Verdict =
  /** Try again after a delay with jitter. */
  | "backoff"
  /** Nothing is wrong with the server or the network: go on at once. */
  | "resume"
  /** Not before the time that the server gave. */
  | "later"
  /** Only with another token, but then at once. */
  | "token"
  /** Do not come back. */
  | "refuse";

/** PROTOCOL.md, "Close codes". */
export const VERDICTS: Readonly<Record<number, Verdict>> = {
  1000: "backoff",
  1001: "backoff",
  1012: "backoff",
  4400: "refuse",
  4401: "token",
  4403: "refuse",
  4408: "backoff",
  4409: "later",
  4410: "token",
  4413: "resume",
  4429: "later",
  4500: "backoff",
};

/** How a connection ended. */
export interface Closing {
  /**
   * `closed`: the other side said so, with a code. `lost`: nobody said anything. `unavailable`: something answered that
   * does not speak this transport. `token`: the application could not give a token just now.
   */
  readonly kind: "closed" | "lost" | "unavailable" | "token";
  readonly code: number;
  readonly reason: string;
  /** Milliseconds, where the server named a time. */
  readonly retryAfter: number | null;
}

export function verdictOf(closing: Closing): Verdict {
  return closing.kind === "closed" ? (VERDICTS[closing.code] ?? "backoff") : "backoff";
}

/** Whether our server was at the other end. A proxy closes with the codes below 4000, too, but then `ready` never came. */
export function answered(closing: Closing): boolean {
  return closing.kind === "closed" && (closing.code >= 4000 || closing.code === 1012);
}
