/**
 * What was added to make the dashboard live: the feed, and which queries a message concerns. The rest of the change is one
 * provider (main.tsx) and `usePolling(...)` where there was a number.
 */

import { Changefeed, type Feed, SharedChangefeed } from "changefeed-client";
import type { Rules } from "changefeed-client/react";
import { currentToken, isAdministrator, onToken, userOf } from "./session.js";

const options = { url: location.origin, getToken: currentToken };

/** `?tabs=shared`: one connection for all tabs of a user. */
export const feed: Feed =
  new URLSearchParams(location.search).get("tabs") === "shared"
    ? new SharedChangefeed({ ...options, name: () => userOf(currentToken() ?? "") })
    : new Changefeed(options);

/** No more than is shown: what nobody looks at need not be sent. */
const SHOWN = ["executions", "dashboard-stats"];
const SHOWN_TO_ADMINISTRATORS = [...SHOWN, "system-metrics", "cost-analytics", "connector-stats"];

function choose(): void {
  const token = currentToken();
  if (token) feed.subscribe({ topics: isAdministrator(token) ? SHOWN_TO_ADMINISTRATORS : SHOWN });
}

choose();
onToken(choose);

const execution = { patch: { keys: [["executions", "all"]], id: "execution_id" } };
/** Of a list by status nobody but the database knows whether a changed row still belongs to it. */
const byStatus = [["executions", "status"]];

export const rules: Rules = {
  events: {
    "execution-started": { ...execution, invalidate: byStatus },
    "execution-updated": { ...execution, invalidate: byStatus },
    "execution-completed": { ...execution, invalidate: byStatus },
    "execution-failed": { ...execution, invalidate: byStatus },
    "execution-deleted": { ...execution, invalidate: byStatus },
    "dashboard-stats-update": { replace: [["statistics"]] },
    "system-metrics-update": { replace: [["admin", "system"]] },
    "cost-analytics-update": { replace: [["admin", "costs"]] },
    "connector-stats-update": { replace: [["admin", "connectors"]] },
  },
  sources: {
    "public.workflow_execution": [["executions"], ["statistics"], ["admin", "costs"]],
    "public.agent_task": [["statistics"], ["admin", "costs"]],
    "public.connector_call": [["admin", "connectors"]],
  },
};
