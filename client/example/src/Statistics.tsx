/** Statistics of the user's own executions and tasks. */

import { useQuery } from "@tanstack/react-query";
import type { DashboardStatistics } from "changefeed-client";
import { usePolling } from "changefeed-client/react";
import { count, money, percent, seconds } from "./figures.js";
import { Panel, Tiles } from "./Panel.js";
import { get } from "./rest.js";

export function Statistics() {
  const query = useQuery({
    queryKey: ["statistics"],
    queryFn: ({ signal }) => get<DashboardStatistics>("/api/v1/stats/dashboard", signal),
    refetchInterval: usePolling(30_000), // was: 30_000
  });
  return (
    <Panel title="Statistics" query={query}>
      {({ executions, agent_tasks }) => (
        <Tiles
          of={{
            Executions: count(executions.total),
            Running: count(executions.by_status.running ?? 0),
            Failed: count(executions.by_status.failed ?? 0),
            "Success rate": percent(executions.success_rate),
            "Average duration": seconds(executions.avg_duration_seconds),
            Cost: money(executions.cost_usd),
            "Agent tasks": count(agent_tasks.total),
            Tokens: count(agent_tasks.tokens),
          }}
        />
      )}
    </Panel>
  );
}
