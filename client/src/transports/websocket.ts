/**
 * The WebSocket: one message or an array of messages per frame, and the only transport that carries anything back.
 *
 * The token travels as a subprotocol, so that it stands in no address and no log, or in the first message: that is the
 * application's choice, and the way out where the token cannot be a subprotocol (its characters) or the cursor is too
 * long for an address. Browsers hide why a handshake failed; what was said by our server comes with a close code.
 */

import { parseFrame } from "../parse.js";
import { addressOf, type Link, lostBecause, type Opening, type Platform, textOf } from "../transport.js";

const PROTOCOL = "changefeed.v1";
/** RFC 7230: what a subprotocol may consist of. */
const TOKEN_CHARACTERS = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Proxies commonly take 4 or 8 KiB of request line; the rest of the address needs some of it. */
const LONGEST_SINCE = 2_000;
const OPEN = 1;

export type Carrier = "subprotocol" | "message";

export function openWebSocket(
  { url, token, since, wishes, sink }: Opening,
  carrier: Carrier,
  { WebSocket }: Platform,
): Link {
  const long = since !== null && since.length > LONGEST_SINCE;
  const first = carrier === "message" || long || !TOKEN_CHARACTERS.test(token);
  const address = new URL(addressOf(url, long ? null : since, wishes));
  address.protocol = address.protocol.replace("http", "ws");
  let over = false;
  const unavailable = (reason: string) => {
    over = true;
    sink.closed({ kind: "unavailable", code: 1006, reason, retryAfter: null });
    return { send: () => false, close: () => {} };
  };
  if (!WebSocket) return unavailable("there is no WebSocket here");
  let socket: InstanceType<typeof WebSocket>;
  try {
    socket = new WebSocket(address.href, first ? [PROTOCOL] : [PROTOCOL, "bearer", token]);
  } catch (error) {
    return unavailable(textOf(error));
  }

  socket.onopen = () => {
    if (first && !over)
      socket.send(JSON.stringify({ type: "auth", token, ...(long && since !== null ? { since } : {}) }));
  };
  socket.onmessage = ({ data }: { data: unknown }) => {
    if (!over) sink.parsed(parseFrame(typeof data === "string" ? data : ""));
  };
  // It is followed by `close`. The handler stays, because some implementations throw where there is none.
  socket.onerror = () => {};
  socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
    if (over) return;
    over = true;
    // 1006 and 1015 are never sent; 1005 is a close frame that gave no code.
    if (code === 1006 || code === 1015) sink.closed(lostBecause(reason || "the connection broke"));
    else sink.closed({ kind: "closed", code, reason, retryAfter: null });
  };

  return {
    send(message) {
      if (over || socket.readyState !== OPEN) return false;
      socket.send(JSON.stringify(message));
      return true;
    },
    close() {
      over = true;
      socket.close(1000);
    },
  };
}
