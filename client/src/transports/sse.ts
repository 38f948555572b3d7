/**
 * Server-sent events, read with fetch() because EventSource cannot send an Authorization header.
 *
 * Carries nothing back. A comment every 15 s is the sign of life. Each block's data is one message; its id is a place,
 * which an empty block has as well.
 */

import { EventStream } from "../eventstream.js";
import { parseFrame } from "../parse.js";
import { addressOf, type Link, lostBecause, type Opening, type Platform, textOf } from "../transport.js";
import { closingOf } from "./http.js";

export function openEventStream(opening: Opening, platform: Platform): Link {
  const { sink } = opening;
  const controller = new AbortController();
  read(opening, platform, controller.signal).then(
    (closing) => {
      if (!controller.signal.aborted) sink.closed(closing);
    },
    (error: unknown) => {
      if (!controller.signal.aborted) sink.closed(lostBecause(textOf(error)));
    },
  );
  return { send: () => false, close: () => controller.abort() };
}

async function read({ url, token, since, wishes, sink }: Opening, platform: Platform, signal: AbortSignal) {
  const response = await platform.fetch(addressOf(url, since, wishes), {
    headers: { Accept: "text/event-stream", Authorization: `Bearer ${token}` },
    cache: "no-store",
    signal,
  });
  if (!response.ok) return closingOf(response, platform.now());
  if (!response.body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
    await response.body?.cancel().catch(() => {});
    return { kind: "unavailable", code: 1006, reason: "not an event stream", retryAfter: null } as const;
  }
  const stream = new EventStream();
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (signal.aborted || done) break;
    const blocks = stream.push(decoder.decode(value, { stream: true }));
    if (blocks.length === 0) sink.alive(null);
    for (const { data, id } of blocks) {
      if (signal.aborted) break;
      if (data === null) sink.alive(id);
      else sink.parsed(parseFrame(data));
    }
  }
  return lostBecause("the stream ended");
}
