/** Ends of a connection. */

import type { Closing } from "../../src/policy.js";

export const LOSS: Closing = { kind: "lost", code: 1006, reason: "", retryAfter: null };
export const UNAVAILABLE: Closing = { kind: "unavailable", code: 1006, reason: "", retryAfter: null };
export const NO_TOKEN_NOW: Closing = { kind: "token", code: 1006, reason: "", retryAfter: null };

export function closed(code: number, retryAfter: number | null = null): Closing {
  return { kind: "closed", code, reason: "", retryAfter };
}
