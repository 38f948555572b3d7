/** What administrators see; whoever is none is told so by the server, once, and sees nothing here. */

import { useQuery } from "@tanstack/react-query";
import type { CostAnalytics as Costs, SystemMetrics as Metrics } from "changefeed-client";
import { usePolling } from "changefeed-client/react";
import { Analytics } from "./Analytics.js";
import { count, dash, megabytes, money, percent } from "./figures.js";
import { Panel, Table, Tiles } from "./Panel.js";
import { get, HttpError } from "./rest.js";

export function Administration() {
  const interval = usePolling(15_000); // was: 15_000
  const query = useQuery({
    queryKey: ["admin", "system"],
    queryFn: ({ signal }) => get<Metrics>("/api/v1/admin/system-metrics", signal),
    refetchInterval: ({ state }) => (isForbidden(state.error) ? false : interval),
  });
  // Nothing is shown, and nothing else is asked for, before the first answer says that this is an administrator.
  if (query.data === undefined) return null;
  return (
    <>
      <Panel title="System metrics" query={query}>
        {({ host, database, changefeed }) => (
          <Tiles
            of={{
              Processor: host.cpu_percent === null ? dash : percent(host.cpu_percent / 100),
              Memory: megabytes(host.memory_used_bytes),
              "Database size": megabytes(database.size_bytes),
              "Database connections": `${count(database.connections)} of ${count(database.max_connections)}`,
              "Transactions/s": count(database.transactions_per_second),
              "Cache hits": percent(database.cache_hit_ratio),
              "Live sessions": count(changefeed.sessions),
              "Events/s": count(changefeed.events_per_second),
            }}
          />
        )}
      </Panel>
      <CostAnalytics />
      <Analytics />
    </>
  );
}

function CostAnalytics() {
  const query = useQuery({
    queryKey: ["admin", "costs"],
    queryFn: ({ signal }) => get<Costs>("/api/v1/admin/costs", signal),
    refetchInterval: usePolling(60_000), // was: 60_000
  });
  return (
    <Panel title="Cost analytics" query={query}>
      {({ totals, by_agent }) => (
        <>
          <Tiles
            of={{
              Executions: money(totals.execution_cost_usd),
              "Agent tasks": money(totals.agent_task_cost_usd),
              Tokens: count(totals.tokens),
            }}
          />
          <Table of="agents" head={["Agent", "Tasks", "Tokens", "Cost"]}>
            {by_agent.map(({ agent, agent_tasks, tokens, cost_usd }) => (
              <tr key={agent}>
                <th scope="row">{agent ?? dash}</th>
                <td>{count(agent_tasks)}</td>
                <td>{count(tokens)}</td>
                <td>{money(cost_usd)}</td>
              </tr>
            ))}
          </Table>
        </>
      )}
    </Panel>
  );
}

function isForbidden(error: Error | null): boolean {
  return error instanceof HttpError && error.status === 403;
}
