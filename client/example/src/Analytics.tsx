/** The analytics panel: how the connectors do. It has never polled: it has a button, which stays, and is needed less. */

import { useQuery } from "@tanstack/react-query";
import type { ConnectorStatistics } from "changefeed-client";
import { count, dash, percent } from "./figures.js";
import { Panel, Table } from "./Panel.js";
import { get } from "./rest.js";

export function Analytics() {
  const query = useQuery({
    queryKey: ["admin", "connectors"],
    queryFn: ({ signal }) => get<ConnectorStatistics>("/api/v1/admin/connectors", signal),
  });
  return (
    <Panel
      title="Analytics"
      query={query}
      actions={
        <button type="button" disabled={query.isFetching} onClick={() => void query.refetch()}>
          Refresh
        </button>
      }
    >
      {({ connectors }) => (
        <Table of="connectors" head={["Connector", "Calls in 24 h", "Errors", "Median", "95 %"]}>
          {connectors.map((one) => (
            <tr key={one.connector_id}>
              <th scope="row">{one.name ?? one.connector_id}</th>
              <td>{count(one.calls)}</td>
              <td>{percent(one.error_rate)}</td>
              <td>{one.latency_p50_ms === null ? dash : `${count(one.latency_p50_ms)} ms`}</td>
              <td>{one.latency_p95_ms === null ? dash : `${count(one.latency_p95_ms)} ms`}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}
