/** Options: what an application says about its feed, and what stands where it says nothing. */

import type { Log } from "./log.js";
import type { Transport } from "./state.js";
import type { View } from "./surroundings.js";
import type { Platform, Wishes } from "./transport.js";
import type { Carrier } from "./transports/websocket.js";

export interface ChangefeedOptions extends Wishes {
  /** Where the server is; by default where the page is. A path is kept: `https://example.com/live`. */
  readonly url?: string;
  /** Asked before every connection, and when the token in use expires. Null: nobody is logged in. */
  readonly getToken: () => Promise<string | null> | string | null;
  /** A cursor to begin at: `X-Changefeed-Cursor` of the answer that the page was made of. */
  readonly since?: string;
  /** The best first. */
  readonly transports?: readonly Transport[];
  /** How a WebSocket carries the token. */
  readonly carrier?: Carrier;
  readonly paths?: Partial<Record<Transport, string>>;
  readonly log?: Log;
  readonly platform?: Partial<Platform>;
  readonly view?: View;
}

const PATHS: Readonly<Record<Transport, string>> = {
  websocket: "/ws/dashboard",
  sse: "/api/v1/events",
  poll: "/api/v1/changes",
};

export function platformOf({ platform }: ChangefeedOptions): Platform {
  const scope = globalThis as { WebSocket?: Platform["WebSocket"] };
  return {
    // Looked up late, so that what an application or a test puts there afterwards is used.
    fetch: (...request) => globalThis.fetch(...request),
    WebSocket: scope.WebSocket,
    setTimeout: (callback, delay) => globalThis.setTimeout(callback, delay),
    clearTimeout: (handle) => globalThis.clearTimeout(handle as number),
    now: () => Date.now(),
    random: () => Math.random(),
    ...platform,
  };
}

/** All that were named: one that does not exist here is found out when it is tried. */
export function ladderOf({ transports }: ChangefeedOptions): readonly Transport[] {
  const ladder = transports ?? (["websocket", "sse", "poll"] as const);
  if (ladder.length === 0) throw new TypeError("changefeed: `transports` names none");
  return ladder;
}

export function urlOf({ url, paths }: ChangefeedOptions, transport: Transport): string {
  const base = url ?? (globalThis as { location?: { origin: string } }).location?.origin;
  if (base === undefined) throw new TypeError("changefeed: outside of a page the option `url` is needed");
  return base.replace(/\/+$/, "") + (paths?.[transport] ?? PATHS[transport]);
}

export function wishesOf({ topics, mode, minInterval }: Wishes): Wishes {
  return {
    ...(topics && { topics }),
    ...(mode && { mode }),
    ...(minInterval !== undefined && { minInterval }),
  };
}
