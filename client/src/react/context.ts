/** What a provider hands down. */

import { createContext, useContext } from "react";
import type { Feed } from "../feed.js";
import type { FeedState } from "../state.js";

export interface Provided {
  readonly feed: Feed;
  /** What is shown where there is to be no connection: `polling` where that was chosen, `offline` where nobody is logged in. */
  readonly instead: FeedState | null;
  /** Whether queries are polled also while it is live. */
  readonly alwaysPolling: boolean;
  readonly logout: () => void;
}

export const ChangefeedContext = createContext<Provided | null>(null);

export function useProvided(): Provided {
  const provided = useContext(ChangefeedContext);
  if (!provided) throw new Error("changefeed: wrap the components that use it in <ChangefeedProvider>");
  return provided;
}
