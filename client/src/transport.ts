/**
 * Transport: what the three ways to a server have in common: what they are given, and what they say.
 *
 * A transport is a function that opens a link. Guarantees of each: it never throws; after close() it says nothing more and
 * leaves no timer, listener or request behind; `closed` is said at most once, and last. It knows no states, does not try
 * again, and interprets nothing but how messages are wrapped.
 */

import type { ClientMessage } from "./messages.js";
import type { Parsed } from "./parse.js";
import type { Closing } from "./policy.js";

export interface Sink {
  /** Messages, in their order. */
  parsed(values: readonly Parsed[]): void;
  /** A sign of life without a message, perhaps with a place. */
  alive(cursor: string | null): void;
  closed(closing: Closing): void;
  noToken(): void;
}

export interface Link {
  /** False where it cannot be sent, now or ever. */
  send(message: ClientMessage): boolean;
  close(): void;
}

/** What a client asks for in the address. */
export interface Wishes {
  readonly topics?: readonly string[];
  readonly mode?: "log" | "state";
  /** Milliseconds. */
  readonly minInterval?: number;
}

export interface Opening {
  readonly url: string;
  readonly token: string;
  /** A token for the next request of the same link. Null: there is none. */
  readonly nextToken: () => Promise<string | null>;
  readonly since: string | null;
  readonly wishes: Wishes;
  readonly sink: Sink;
}

/** What a client needs from the platform. */
export interface Platform {
  readonly fetch: typeof globalThis.fetch;
  readonly WebSocket: (new (url: string, protocols: string[]) => Socket) | undefined;
  readonly setTimeout: (callback: () => void, delay: number) => unknown;
  readonly clearTimeout: (handle: unknown) => void;
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** As much of a WebSocket as is used, so that any implementation will do. */
export interface Socket {
  readonly readyState: number;
  onopen: ((event: never) => unknown) | null;
  onmessage: ((event: never) => unknown) | null;
  onerror: ((event: never) => unknown) | null;
  onclose: ((event: never) => unknown) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

/** The address with what is wished for, and with `more`. */
export function addressOf(
  url: string,
  since: string | null,
  wishes: Wishes,
  more: Record<string, string> = {},
): string {
  const address = new URL(url);
  const query = address.searchParams;
  if (since !== null) query.set("since", since);
  if (wishes.topics) query.set("topics", wishes.topics.join(","));
  if (wishes.mode) query.set("mode", wishes.mode);
  if (wishes.minInterval !== undefined) query.set("min_interval", String(Math.round(wishes.minInterval)));
  for (const [name, value] of Object.entries(more)) query.set(name, value);
  return address.href;
}

export function lostBecause(reason: string): Closing {
  return { kind: "lost", code: 1006, reason, retryAfter: null };
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
