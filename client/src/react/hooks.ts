/** The hooks: what a component may want to know of the feed, and nothing that it must. */

import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import type { MessageOf, MessageType } from "../messages.js";
import type { FeedState, Snapshot } from "../state.js";
import { useProvided } from "./context.js";

export interface ChangefeedStatus {
  /** To be shown. Where the feed is switched off, it is `polling`: that is what keeps the page current then. */
  readonly state: FeedState;
  /** Whether changes arrive by themselves: `live`. */
  readonly isConnected: boolean;
}

export function useChangefeed(): ChangefeedStatus {
  const { instead } = useProvided();
  const { state } = useFeedSnapshot();
  const shown = instead ?? state;
  return useMemo(() => ({ state: shown, isConnected: shown === "live" }), [shown]);
}

/** Everything that the feed says of itself: the transport, the user, why it stopped. */
export function useFeedSnapshot(): Snapshot {
  const { feed } = useProvided();
  const subscribe = useMemo(() => (changed: () => void) => feed.on("change", changed), [feed]);
  return useSyncExternalStore(subscribe, feed.getSnapshot, feed.getSnapshot);
}

/** For a query's `refetchInterval`: polls only while changes do not arrive by themselves, unless the provider says otherwise. */
export function usePolling(milliseconds: number): number | false {
  const { alwaysPolling } = useProvided();
  return useChangefeed().isConnected && !alwaysPolling ? false : milliseconds;
}

/** Calls the handler with each message of a type. */
export function useChangefeedEvent<T extends MessageType>(
  type: T,
  handler: (message: MessageOf<T>) => void,
): void {
  const { feed } = useProvided();
  const current = useRef(handler);
  useEffect(() => {
    current.current = handler;
  }, [handler]);
  useEffect(
    () =>
      feed.on("message", (message) => {
        if (message.type === type) current.current(message as MessageOf<T>);
      }),
    [feed, type],
  );
}

/** Logs out: closes the connection, and clears the cursor and the cache. */
export function useLogout(): () => void {
  return useProvided().logout;
}
