/**
 * ChangefeedProvider: holds the feed open and the cache current for as long as it is mounted.
 *
 * Guarantees: one connection, however often React mounts and unmounts (StrictMode); when `user` changes, nothing of the
 * former user stays: the connection is closed, the cursor and the cache are cleared. Assumes that `feed` and `rules` are
 * made once, outside of the components.
 */

import { useQueryClient } from "@tanstack/react-query";
import { type ReactElement, type ReactNode, useEffect, useMemo, useRef } from "react";
import type { Feed } from "../feed.js";
import type { FeedState, Refusal } from "../state.js";
import { ChangefeedContext } from "./context.js";
import type { Rules } from "./rules.js";
import { CacheSync, emptyCache } from "./sync.js";

export interface ChangefeedProviderProps {
  readonly feed: Feed;
  readonly rules: Rules;
  /** False: no connection; everything polls. */
  readonly enabled?: boolean;
  /** `fallback`: while it is not live. `always`: beside it as well, to compare the two while moving over. */
  readonly polling?: "fallback" | "always";
  /** Who is logged in; null: nobody. Where it is left out, log out with useLogout(). */
  readonly user?: string | null;
  /** There is no (valid) token, or the user was sent away: go to the login. */
  readonly onAuthFailed?: (refusal: Refusal) => void;
  readonly children?: ReactNode;
}

/** Close codes after which only logging in again helps. */
const AUTH_FAILED = new Set([4401, 4403]);

export function ChangefeedProvider(props: ChangefeedProviderProps): ReactElement {
  const { feed, rules, enabled = true, polling = "fallback", user, onAuthFailed, children } = props;
  const client = useQueryClient();
  const running = enabled && user !== null;
  const instead: FeedState | null = running ? null : user === null ? "offline" : "polling";

  const former = useRef(user);
  useEffect(() => {
    if (former.current === user) return;
    const known = former.current !== undefined;
    former.current = user;
    if (!known) return;
    feed.forget();
    emptyCache(client);
  }, [user, feed, client]);

  useEffect(() => {
    const sync = new CacheSync(feed, client, rules);
    return () => sync.dispose();
  }, [feed, client, rules]);

  const report = useRef(onAuthFailed);
  useEffect(() => {
    report.current = onAuthFailed;
  }, [onAuthFailed]);
  useEffect(
    () =>
      feed.on("refused", (refusal) => {
        if (AUTH_FAILED.has(refusal.code)) report.current?.(refusal);
      }),
    [feed],
  );

  // After the listeners, so that they hear of everything; again for another user, whose connection is another one.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the user is not read here, but must start a new connection.
  useEffect(() => (running ? feed.retain() : undefined), [feed, running, user]);

  const alwaysPolling = polling === "always";
  const value = useMemo(
    () => ({
      feed,
      instead,
      alwaysPolling,
      logout: () => {
        feed.forget();
        emptyCache(client);
      },
    }),
    [feed, instead, alwaysPolling, client],
  );
  // Not the shorter form of React 19: 18 is supported as well.
  return <ChangefeedContext.Provider value={value}>{children}</ChangefeedContext.Provider>;
}
