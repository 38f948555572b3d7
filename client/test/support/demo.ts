/**
 * A server that is real, on a real PostgreSQL: CHANGEFEED_DEMO names a `demo.json`, as `make demo` writes it. Its row
 * `execution_id` is nobody else's to change.
 */

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { WebSocket } from "ws";
import { Changefeed } from "../../src/changefeed.js";
import type { FeedEvents } from "../../src/feed.js";
import type { ChangefeedOptions } from "../../src/options.js";

interface Demo {
  readonly url: string;
  readonly psql: string;
  readonly tokens: Readonly<Record<"user1" | "user2" | "admin", string>>;
  readonly execution_id: string;
}

const path = process.env.CHANGEFEED_DEMO;

/** Whether there is none. */
export const absent = !path;
export const demo: Demo = path ? JSON.parse(readFileSync(path, "utf8")) : ({} as Demo);

export function open(user: keyof Demo["tokens"], options: Partial<ChangefeedOptions> = {}): Changefeed {
  const platform = { WebSocket: WebSocket as never };
  return new Changefeed({ url: demo.url, getToken: () => demo.tokens[user], platform, ...options });
}

/** Waits for the feed to say something that fits. */
export function told<K extends keyof FeedEvents>(
  feed: Changefeed,
  name: K,
  fits: (value: FeedEvents[K]) => boolean,
): Promise<FeedEvents[K]> {
  return new Promise((resolve) => {
    const off = feed.on(name, (value) => {
      if (!fits(value)) return;
      off();
      resolve(value);
    });
  });
}

const run = promisify(execFile);

/** The application's own SQL, which knows nothing of changefeed: moves the execution to another node. */
export async function move(node: string): Promise<void> {
  const [command = "psql", ...rest] = demo.psql.split(" ");
  const sql = `update workflow_execution set current_node = '${node}' where id = '${demo.execution_id}'`;
  await run(command, [...rest, "-qc", sql]);
}

/** Where the execution is, if this message is about that. */
export function nodeIn(message: FeedEvents["message"]): string | null {
  if (message.type !== "execution-updated" || message.data.execution_id !== demo.execution_id) return null;
  return message.data.current_node ?? null;
}
