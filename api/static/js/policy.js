/**
 * Policy: how long to wait before the next attempt, and what a close code means. Pure: chance, from 0 to 1, is passed in.
 */

/** Milliseconds. */
export const TIMING = {
  firstRetry: 500,
  largestRetry: 30_000,
  /** A connection that has held this long was not luck: the bound of the delays starts from the first again. */
  stable: 10_000,
  /** From the attempt to `ready`. */
  opening: 10_000,
  /** More than two of the server's heartbeats. After this long without a word the connection is tested. */
  silence: 45_000,
  pong: 5_000,
  /** Where a server says "later" without saying when. */
  later: 5_000,
};

/** Full jitter: anything up to a bound that doubles, so that those who were cut off together come back apart. */
export function backoff(attempt, chance) {
  return chance * Math.min(TIMING.largestRetry, TIMING.firstRetry * 2 ** Math.min(attempt, 16));
}

/** Never sooner than asked for, and spread over half as long again. */
export function postponed(delay, chance) {
  return delay * (1 + chance / 2);
}

/** What to do after a close, by its code: PROTOCOL.md, "Close codes". What is not listed is a broken connection. */
const VERDICTS = {
  1012: ["again", "The server is restarting"],
  4400: ["stop", "The server did not understand this page, and does not want to hear it again."],
  4401: ["token", "The server does not accept this token."],
  4403: ["stop", "This token, or this page's address, is not allowed in; or an administrator has sent this user away."],
  4408: ["again", "The token did not arrive in time"],
  4409: ["later", "This user has as many connections as allowed"],
  4410: ["token", "The token has expired."],
  4413: ["again", "This page read too slowly"],
  4429: ["later", "This page sent too many messages"],
  4500: ["again", "The server is not ready"],
};

/** `{verdict, sentence}`: again (with backoff), later (after the server's own time), token (only with another one), stop. */
export function verdictOf(code) {
  const [verdict, sentence] = VERDICTS[code] ?? ["again", "The connection was lost"];
  return { verdict, sentence };
}
