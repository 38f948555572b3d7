/** Messages as a server makes them, with as much said as the test cares for. */

import type {
  ExecutionData,
  MessageOf,
  MessageType,
  ReadyData,
  ReadyMessage,
  ServerMessage,
} from "../../src/messages.js";

export const TIME = "2026-01-02T03:04:05.000006Z";

export function message<T extends MessageType>(
  type: T,
  data: MessageOf<T>["data"],
  more: { id?: string; cursor?: string; timestamp?: string; user_id?: string } = {},
): MessageOf<T> {
  return { type, timestamp: TIME, ...more, data } as unknown as MessageOf<T>;
}

export function ready(data: Partial<ReadyData> = {}, cursor: string | null = "cursor-0"): ReadyMessage {
  return message("ready", readyData(data), cursor === null ? {} : { cursor });
}

export function readyData(data: Partial<ReadyData> = {}): ReadyData {
  return {
    outcome: "fresh",
    user_id: "ada",
    admin: false,
    topics: ["executions", "agent-tasks", "dashboard-stats"],
    mode: "log",
    min_interval: 0,
    token_expires_at: "2026-01-02T04:04:05.000006Z",
    limits: {
      max_message_bytes: 16384,
      max_messages_per_minute: 300,
      buffer_messages: 1000,
      buffer_bytes: 1048576,
      max_replay: 10000,
    },
    server: { version: "0.1.0", epoch: "epoch" },
    ...data,
  };
}

export function execution(data: Partial<ExecutionData> = {}): ExecutionData {
  return {
    execution_id: "e1",
    workflow_id: "w1",
    status: "running",
    previous_status: "running",
    progress: 10,
    current_node: null,
    error_message: null,
    cost_usd: "0.10",
    started_at: TIME,
    completed_at: null,
    ...data,
  };
}

export function updated(
  id: string,
  data: Partial<ExecutionData> = {},
  more: { cursor?: string; timestamp?: string } = {},
): ServerMessage {
  return message("execution-updated", execution(data), { id, ...more });
}
