/**
 * Generated from the server's models by `npm run types`. Not to be edited: change changefeed/messages.py.
 *
 * Every message on the wire: what a server sends (ServerMessage) and what a client sends (ClientMessage).
 */

export interface AgentCosts {
  readonly agent: string | null;
  readonly agent_tasks: number;
  readonly cost_usd: string;
  readonly tokens: number;
}

export interface ConflatedData {
  readonly count: number;
}

export interface ConnectorFigures {
  readonly calls: number;
  readonly errors: number;
  readonly timeouts: number;
  readonly error_rate: number | null;
  readonly connector_id: string;
  readonly name: string | null;
  readonly provider: string | null;
  readonly latency_p50_ms: number | null;
  readonly latency_p95_ms: number | null;
}

export interface ConnectorStatistics {
  readonly calls: number;
  readonly errors: number;
  readonly timeouts: number;
  readonly error_rate: number | null;
  readonly since: string;
  readonly connectors: ReadonlyArray<ConnectorFigures>;
}

/** Agent tasks by when they were created, executions by when they started; never added up, for one may include the other. */
export interface CostAnalytics {
  readonly since: string;
  readonly totals: CostTotals;
  readonly by_day: ReadonlyArray<DayCosts>;
  readonly by_agent: ReadonlyArray<AgentCosts>;
  readonly by_task_type: ReadonlyArray<TaskTypeCosts>;
  readonly by_workflow: ReadonlyArray<WorkflowCosts>;
}

export interface CostTotals {
  readonly executions: number;
  readonly execution_cost_usd: string;
  readonly agent_tasks: number;
  readonly agent_task_cost_usd: string;
  readonly tokens: number;
}

export interface DashboardStatistics {
  readonly executions: ExecutionStatistics;
  readonly agent_tasks: TaskStatistics;
}

export interface DatabaseMetrics {
  readonly name: string;
  readonly version: string;
  readonly size_bytes: number;
  readonly connections: number;
  readonly max_connections: number;
  readonly transactions_per_second: number | null;
  readonly cache_hit_ratio: number | null;
  readonly notification_queue_usage: number;
}

export interface DayCosts {
  readonly executions: number;
  readonly execution_cost_usd: string;
  readonly agent_tasks: number;
  readonly agent_task_cost_usd: string;
  readonly tokens: number;
  readonly day: string;
}

export type Empty = Readonly<Record<string, never>>;

export interface ErrorData {
  readonly code: string;
  readonly message: string;
  readonly retry: boolean;
  readonly retry_after?: number;
}

export interface ExecutionData {
  readonly execution_id: string | null;
  readonly workflow_id: string | null;
  readonly status: string | null;
  readonly previous_status: string | null;
  readonly progress: number | null;
  readonly current_node: string | null;
  readonly error_message: string | null;
  readonly cost_usd: string | null;
  readonly started_at: string | null;
  readonly completed_at: string | null;
  readonly partial?: boolean;
}

export interface ExecutionStatistics {
  readonly total: number;
  readonly by_status: Readonly<Record<string, number>>;
  readonly success_rate: number | null;
  readonly avg_duration_seconds: number | null;
  readonly cost_usd: string;
}

/** Of changefeed itself. `sessions`, `leading`, `lag_seconds` and `statistics_drift` are this process's own. */
export interface FeedMetrics {
  readonly live: boolean;
  readonly leading: boolean;
  readonly relays: number;
  readonly sessions: number;
  readonly lag_seconds: number | null;
  readonly log_bytes: number;
  readonly events_per_second: number | null;
  readonly capture_errors: number;
  readonly statistics_drift: number;
}

/** Of the machine that this process runs on. Null: the system does not say. */
export interface HostMetrics {
  readonly name: string;
  readonly cpu_count: number;
  readonly cpu_percent: number | null;
  readonly load_1m: number | null;
  readonly load_5m: number | null;
  readonly load_15m: number | null;
  readonly memory_total_bytes: number | null;
  readonly memory_used_bytes: number | null;
  readonly disk_total_bytes: number;
  readonly disk_used_bytes: number;
}

export interface Limits {
  readonly max_message_bytes: number;
  readonly max_messages_per_minute: number;
  readonly buffer_messages: number;
  readonly buffer_bytes: number;
  readonly max_replay: number;
}

export interface ReadyData {
  readonly outcome: "fresh" | "replayed" | "resync";
  readonly user_id: string;
  readonly admin: boolean;
  readonly topics: ReadonlyArray<string>;
  readonly mode: "log" | "state";
  readonly min_interval: number;
  readonly token_expires_at: string | null;
  readonly limits: Limits;
  readonly server: Server;
}

export interface ReconnectData {
  readonly after_ms: number;
}

export interface ResyncData {
  readonly reason: "retention" | "epoch" | "capture-error" | "too-much" | "lagging";
  readonly sources: ReadonlyArray<string> | null;
  readonly spread_ms: number;
}

export interface RowData {
  readonly source: string;
  readonly op: "insert" | "update" | "delete" | "leave";
  readonly key: Readonly<Record<string, unknown>>;
  readonly row: Readonly<Record<string, unknown>> | null;
  readonly before: Readonly<Record<string, unknown>> | null;
  readonly partial?: boolean;
}

export interface RowsData {
  readonly source: string;
  readonly reason: "bulk" | "truncate" | "owner";
  readonly count?: number;
}

export interface Server {
  readonly version: string;
  readonly epoch: string;
}

export interface SystemMetrics {
  readonly sampled_at: string;
  readonly host: HostMetrics;
  readonly database: DatabaseMetrics;
  readonly changefeed: FeedMetrics;
}

export interface TaskData {
  readonly task_id: string | null;
  readonly execution_id: string | null;
  readonly agent: string | null;
  readonly task_type: string | null;
  readonly status: string | null;
  readonly previous_status: string | null;
  readonly progress: number | null;
  readonly cost_usd: string | null;
  readonly tokens: number | null;
  readonly error_message: string | null;
  readonly deleted: boolean;
  readonly partial?: boolean;
}

export interface TaskStatistics {
  readonly total: number;
  readonly by_status: Readonly<Record<string, number>>;
  readonly tokens: number;
  readonly cost_usd: string;
}

export interface TaskTypeCosts {
  readonly task_type: string | null;
  readonly agent_tasks: number;
  readonly cost_usd: string;
  readonly tokens: number;
}

export interface TokenExpiringData {
  readonly expires_at: string;
}

export interface WorkflowCosts {
  readonly workflow_id: string | null;
  readonly executions: number;
  readonly cost_usd: string;
}

export interface AuthRequest {
  readonly type: "auth";
  readonly token: string;
  readonly since?: string;
}

export interface PingRequest {
  readonly type: "ping";
}

export interface SubscribeRequest {
  readonly type: "subscribe";
  readonly topics?: ReadonlyArray<string>;
  readonly since?: string;
  readonly mode?: "log" | "state";
  readonly min_interval?: number;
}

export interface UnsubscribeRequest {
  readonly type: "unsubscribe";
  readonly topics: ReadonlyArray<string>;
}

/** What every message has. `id` is opaque, to drop repeats by; `cursor` is a place to go on from. */
export interface Message<T extends string, D> {
  readonly type: T;
  readonly timestamp: string;
  readonly user_id?: string;
  readonly id?: string;
  readonly cursor?: string;
  readonly data: D;
}

export type ExecutionStartedMessage = Message<"execution-started", ExecutionData>;
export type ExecutionCompletedMessage = Message<"execution-completed", ExecutionData>;
export type ExecutionFailedMessage = Message<"execution-failed", ExecutionData>;
export type ExecutionUpdatedMessage = Message<"execution-updated", ExecutionData>;
export type ExecutionDeletedMessage = Message<"execution-deleted", ExecutionData>;
export type AgentTaskUpdateMessage = Message<"agent-task-update", TaskData>;
export type RowChangedMessage = Message<"row-changed", RowData>;
export type RowsChangedMessage = Message<"rows-changed", RowsData>;
export type DashboardStatsUpdateMessage = Message<"dashboard-stats-update", DashboardStatistics>;
export type SystemMetricsUpdateMessage = Message<"system-metrics-update", SystemMetrics>;
export type CostAnalyticsUpdateMessage = Message<"cost-analytics-update", CostAnalytics>;
export type ConnectorStatsUpdateMessage = Message<"connector-stats-update", ConnectorStatistics>;
export type ReadyMessage = Message<"ready", ReadyData>;
export type SubscribedMessage = Message<"subscribed", ReadyData>;
export type PongMessage = Message<"pong", Empty>;
export type HeartbeatMessage = Message<"heartbeat", Empty>;
export type ResyncMessage = Message<"resync", ResyncData>;
export type ConflatedMessage = Message<"conflated", ConflatedData>;
export type TokenExpiringMessage = Message<"token-expiring", TokenExpiringData>;
export type ReconnectMessage = Message<"reconnect", ReconnectData>;
export type ErrorMessage = Message<"error", ErrorData>;

export type ServerMessage =
  | ExecutionStartedMessage
  | ExecutionCompletedMessage
  | ExecutionFailedMessage
  | ExecutionUpdatedMessage
  | ExecutionDeletedMessage
  | AgentTaskUpdateMessage
  | RowChangedMessage
  | RowsChangedMessage
  | DashboardStatsUpdateMessage
  | SystemMetricsUpdateMessage
  | CostAnalyticsUpdateMessage
  | ConnectorStatsUpdateMessage
  | ReadyMessage
  | SubscribedMessage
  | PongMessage
  | HeartbeatMessage
  | ResyncMessage
  | ConflatedMessage
  | TokenExpiringMessage
  | ReconnectMessage
  | ErrorMessage;

export type ClientMessage = PingRequest | AuthRequest | SubscribeRequest | UnsubscribeRequest;

export type MessageType = ServerMessage["type"];

/** The message of one type. */
export type MessageOf<T extends MessageType> = Extract<ServerMessage, { type: T }>;
