/**
 * The long poll: one request after the other, each of which waits at the server until there is something to say.
 *
 * The last resort: it passes wherever HTTP passes. Each request asks for a fresh token, and goes on from the place that
 * the last one gave. The first does not wait, so that it is known at once whether this works. Between two requests that
 * brought something lies a pause: a busy feed is fetched once a second, not once per change.
 */

import { parseValue } from "../parse.js";
import { isRecord } from "../shape.js";
import { addressOf, type Link, lostBecause, type Opening, type Platform, textOf } from "../transport.js";
import { closingOf } from "./http.js";

const WAIT_SECONDS = 25;
/** How much longer than the wait an answer may take. */
const SLACK = 10_000;
const PAUSE = 1_000;

export function openPoll(opening: Opening, platform: Platform): Link {
  const controller = new AbortController();
  const { signal } = controller;
  const timers = new Set<unknown>();
  const later = (delay: number, callback: () => void) => {
    const handle = platform.setTimeout(() => {
      timers.delete(handle);
      callback();
    }, delay);
    timers.add(handle);
    return () => {
      timers.delete(handle);
      platform.clearTimeout(handle);
    };
  };
  const end = (report: () => void) => {
    if (signal.aborted) return;
    controller.abort();
    report();
  };

  async function request(token: string, since: string | null, wait: number): Promise<string | null> {
    const { url, wishes, sink } = opening;
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    signal.addEventListener("abort", abort);
    const done = later(wait * 1000 + SLACK, abort);
    try {
      const response = await platform.fetch(addressOf(url, since, wishes, { wait: String(wait) }), {
        headers: { Accept: "application/json", Authorization: `Bearer ${token}` },
        cache: "no-store",
        signal: attempt.signal,
      });
      if (!response.ok) {
        const closing = await closingOf(response, platform.now());
        end(() => sink.closed(closing));
        return since;
      }
      const answer: unknown = await response.json();
      if (!isRecord(answer) || !Array.isArray(answer.messages)) {
        end(() =>
          sink.closed({ kind: "unavailable", code: 1006, reason: "not an answer", retryAfter: null }),
        );
        return since;
      }
      if (signal.aborted) return since;
      const cursor = typeof answer.cursor === "string" ? answer.cursor : since;
      sink.parsed(answer.messages.map(parseValue));
      if (!signal.aborted) sink.alive(cursor);
      return cursor;
    } finally {
      done();
      signal.removeEventListener("abort", abort);
    }
  }

  async function run() {
    let { token, since } = opening as { token: string | null; since: string | null };
    for (let wait = 0; !signal.aborted; wait = WAIT_SECONDS) {
      if (!token) {
        end(() => opening.sink.noToken());
        return;
      }
      const begun = platform.now();
      since = await request(token, since, wait);
      const left = wait === 0 ? 0 : begun + PAUSE - platform.now();
      if (left > 0 && !signal.aborted) await new Promise<void>((resolve) => later(left, resolve));
      if (signal.aborted) return;
      token = await opening.nextToken();
    }
  }

  run().catch((error: unknown) => end(() => opening.sink.closed(lostBecause(textOf(error)))));
  return {
    send: () => false,
    close() {
      controller.abort();
      for (const handle of timers) platform.clearTimeout(handle);
      timers.clear();
    },
  };
}
