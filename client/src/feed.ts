/**
 * Feed: what an application sees of a connection, whether this tab holds it or another one does.
 */

import type { ServerMessage } from "./messages.js";
import type { Unreadable } from "./parse.js";
import type { Joined, Resync } from "./signal.js";
import type { Refusal, Snapshot } from "./state.js";
import type { Wishes } from "./transport.js";

export interface FeedEvents {
  /** The snapshot is another one. */
  change: Snapshot;
  /** A message, once, in the order in which it came. */
  message: ServerMessage;
  joined: Joined;
  /** What was fetched from these sources may be out of date. */
  resync: Resync;
  /** A cursor: everything up to here was handed on. */
  place: string;
  /** A message that was ignored. */
  unreadable: Unreadable;
  /** The client has stopped for good; 4401 and 4403: the user has to log in. */
  refused: Refusal;
}

export interface Feed {
  getSnapshot(): Snapshot;
  /** Returns what removes the listener. */
  on<K extends keyof FeedEvents>(name: K, listener: (value: FeedEvents[K]) => void): () => void;
  start(): void;
  /** Ends the connection. The cursor is kept: start() goes on where this stopped. */
  stop(): void;
  /** As stop(), and nothing is left of the user: for logging out. */
  forget(): void;
  /** There is a new token. */
  renew(): void;
  subscribe(wishes: Wishes): void;
  /** Runs while anybody holds on to it. Returns what lets go. */
  retain(): () => void;
}

/**
 * Counts who holds on. The last one to let go stops the feed a moment later, because React, in StrictMode and when it moves
 * a tree, lets go and holds on again at once.
 */
export function retainer(
  start: () => void,
  stop: () => void,
  later: (callback: () => void) => void,
): () => () => void {
  let holders = 0;
  return () => {
    holders++;
    if (holders === 1) start();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      holders--;
      if (holders === 0)
        later(() => {
          if (holders === 0) stop();
        });
    };
  };
}
