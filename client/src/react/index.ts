/**
 * changefeed-client/react: TanStack Query kept current by a feed.
 *
 *     <ChangefeedProvider feed={feed} rules={{ events: { "execution-updated": [["executions"]] } }}>
 *     const { state, isConnected } = useChangefeed();
 *     useQuery({ queryKey: ["executions"], queryFn, refetchInterval: usePolling(30_000) });
 */

export {
  type ChangefeedStatus,
  useChangefeed,
  useChangefeedEvent,
  useFeedSnapshot,
  useLogout,
  usePolling,
} from "./hooks.js";
export { ChangefeedProvider, type ChangefeedProviderProps } from "./provider.js";
export type { Patch, QueryKey, Rule, Rules } from "./rules.js";
export { CacheSync, emptyCache, type SyncOptions } from "./sync.js";
