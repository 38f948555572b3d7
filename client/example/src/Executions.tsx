/** The user's executions, all of them or those of one status. */

import { useQuery } from "@tanstack/react-query";
import type { ExecutionData } from "changefeed-client";
import { usePolling } from "changefeed-client/react";
import { useState } from "react";
import { dash, money, time } from "./figures.js";
import { Panel, Table } from "./Panel.js";
import { get } from "./rest.js";

interface ExecutionPage {
  readonly items: readonly ExecutionData[];
  readonly next: string | null;
}

const STATUSES = ["pending", "running", "paused", "completed", "failed", "cancelled"];

export function Executions() {
  const [status, setStatus] = useState("");
  const query = useQuery({
    queryKey: status ? ["executions", "status", status] : ["executions", "all"],
    queryFn: ({ signal }) =>
      get<ExecutionPage>(`/api/v1/executions?limit=20${status && `&status=${status}`}`, signal),
    refetchInterval: usePolling(10_000), // was: 10_000
  });
  return (
    <Panel
      title="Executions"
      query={query}
      actions={
        <label>
          Status{" "}
          <select value={status} onChange={(event) => setStatus(event.target.value)}>
            <option value="">all</option>
            {STATUSES.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      }
    >
      {({ items }) => (
        <Table of="executions" head={["Execution", "Status", "Progress", "Node", "Cost", "Started"]}>
          {items.map((row) => (
            <tr key={row.execution_id} data-id={row.execution_id}>
              <th scope="row">{row.execution_id?.slice(0, 8) ?? dash}</th>
              <td data-status={row.status}>{row.status ?? dash}</td>
              <td>
                <progress
                  max={100}
                  value={row.progress ?? 0}
                  aria-label={`Progress of ${row.execution_id?.slice(0, 8)}`}
                />{" "}
                {row.progress ?? 0} %
              </td>
              <td>{row.error_message ?? row.current_node ?? dash}</td>
              <td>{money(row.cost_usd)}</td>
              <td>{time(row.started_at)}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}
