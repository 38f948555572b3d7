/** REST, as the dashboard has always used it; and how often and how much it is used, which is what changes. */

import { currentToken } from "./session.js";

export class HttpError extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

const listeners = new Set<() => void>();
let usage = { requests: 0, bytes: 0 };

export const rest = {
  usage: () => usage,
  onUsage(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

export async function get<T>(path: string, signal: AbortSignal): Promise<T> {
  const response = await fetch(path, { headers: { Authorization: `Bearer ${currentToken()}` }, signal });
  const body = await response.text();
  usage = { requests: usage.requests + 1, bytes: usage.bytes + body.length };
  for (const listener of listeners) listener();
  if (!response.ok) throw new HttpError(response.status, response.statusText || `HTTP ${response.status}`);
  return JSON.parse(body) as T;
}
