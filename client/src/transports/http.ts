/**
 * What an HTTP answer means that is not the one hoped for, in the terms of a closed connection.
 *
 * Our server explains itself in a problem document (RFC 9457), whose `code` has a close code. A proxy in between answers
 * with whatever it likes, which says nothing about our token or our rights: then another transport is tried.
 */

import type { Closing } from "../policy.js";
import { isRecord } from "../shape.js";
import { closeCodeOf } from "../shapes.js";

/** Where a problem's code is not known. */
const CODE_OF_STATUS: Readonly<Record<number, number>> = {
  400: 4400,
  401: 4401,
  403: 4403,
  408: 4408,
  409: 4409,
  413: 4400,
  422: 4400,
  429: 4429,
  500: 4500,
  503: 4500,
};
/** Gateways say these while what is behind them is away. */
const AWAY = new Set([429, 500, 502, 503, 504]);

export async function closingOf(response: Response, now: number): Promise<Closing> {
  const { status } = response;
  const retryAfter = retryAfterOf(response.headers.get("retry-after"), now);
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    const problem: unknown = await response.json().catch(() => null);
    const code =
      isRecord(problem) && typeof problem.code === "string" ? closeCodeOf[problem.code] : undefined;
    const text = (isRecord(problem) && (problem.detail ?? problem.title)) || `HTTP ${status}`;
    const known = code ?? CODE_OF_STATUS[status];
    if (known !== undefined) return { kind: "closed", code: known, reason: String(text), retryAfter };
  }
  await response.body?.cancel().catch(() => {});
  const reason = `HTTP ${status}`;
  // The one status that a gateway with authentication of its own uses in the same sense.
  if (status === 401) return { kind: "closed", code: 4401, reason, retryAfter };
  if (AWAY.has(status)) return { kind: "lost", code: 1006, reason, retryAfter };
  return { kind: "unavailable", code: 1006, reason, retryAfter };
}

/** Milliseconds, from seconds or a date. */
export function retryAfterOf(header: string | null, now: number): number | null {
  if (header === null) return null;
  const seconds = Number(header);
  const delay = Number.isNaN(seconds) ? Date.parse(header) - now : seconds * 1000;
  return Number.isFinite(delay) ? Math.max(0, delay) : null;
}
