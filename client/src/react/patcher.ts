/**
 * Patcher: rows of messages put into cached queries, never backwards.
 *
 * Guarantees: what a query shows of a row is never replaced by what is, or might be, older; where that cannot be told, and
 * where the row is not there, the query is given to `refetch` instead. A fetch that was under way while a message came
 * lands without undoing it: the message is put into what was fetched before anybody sees it. Times of fetches, marks of
 * invalidation and errors stay as they are: a patched row does not make the rest of a list fresh.
 */

import type { Query, QueryClient, QueryKey } from "@tanstack/react-query";
import type { ServerMessage } from "../messages.js";
import { isRecord } from "../shape.js";
import type { Freshness } from "./freshness.js";
import { type Change, merged, type Patched, patched, type Row, same } from "./patch.js";
import type { Patch } from "./rules.js";

/** One message, as it concerns the queries of one rule. */
interface Edit {
  /** Names the row among those of the query. */
  readonly row: string;
  readonly timestamp: string;
  /** What becomes of the data. */
  readonly apply: (data: unknown) => Patched;
  /** Whether the cached data is newer by its own account. Null: it has none. */
  readonly isOlder: ((data: unknown) => boolean) | null;
}

export class Patcher {
  readonly #client: QueryClient;
  readonly #freshness: Freshness;
  readonly #refetch: (keys: readonly QueryKey[]) => void;
  /** Messages that came while a query was being fetched: the last of each row. */
  readonly #during = new Map<string, Map<string, Edit>>();
  readonly #unsubscribe: () => void;
  #own = false;

  constructor(client: QueryClient, freshness: Freshness, refetch: (keys: readonly QueryKey[]) => void) {
    this.#client = client;
    this.#freshness = freshness;
    this.#refetch = refetch;
    // React mounts children first: their fetches are under way before anybody follows them.
    for (const query of client.getQueryCache().getAll())
      if (query.state.fetchStatus !== "idle") this.#during.set(query.queryHash, new Map());
    this.#unsubscribe = client.getQueryCache().subscribe((event) => {
      const { query } = event;
      if (event.type === "removed") {
        this.#during.delete(query.queryHash);
        freshness.drop(query.queryHash);
      } else if (event.type === "updated" && !this.#own) {
        const { action } = event;
        if (action.type === "fetch") this.#during.set(query.queryHash, new Map());
        else if (action.type === "success" && !action.manual) this.#land(query);
        else if (action.type === "setState") this.#redo(query);
        else if (action.type === "error") this.#during.delete(query.queryHash);
      }
    });
  }

  dispose(): void {
    this.#unsubscribe();
    this.#during.clear();
  }

  /** The message's row, into everything that may hold it. */
  patch(rule: Patch<ServerMessage>, message: ServerMessage): void {
    const row = rule.row ? rule.row(message) : (message.data as Row);
    const of = row?.[rule.id];
    if (!row || of === undefined || of === null || ("partial" in message.data && message.data.partial)) {
      this.#refetch(rule.keys);
      return;
    }
    const gone = (rule.gone ?? isGone)(message);
    const version = rule.version;
    const change: Change = (cached) => (gone ? null : merged(cached, row));
    this.#edit(rule.keys, {
      row: `${rule.id}=${JSON.stringify(of)}`,
      timestamp: message.timestamp,
      apply: (data) => patched(data, rule.id, of, change),
      isOlder: version ? (data) => isOlder(data, rule.id, of, version(row), version) : null,
    });
  }

  /** The message's data, as the whole of what these queries hold. */
  replace(keys: readonly QueryKey[], message: ServerMessage): void {
    const apply = (data: unknown): Patched => ({
      value: same(data, message.data) ? data : message.data,
      row: "found",
    });
    this.#edit(keys, { row: "", timestamp: message.timestamp, apply, isOlder: null });
  }

  #edit(keys: readonly QueryKey[], edit: Edit): void {
    const queries = new Set(keys.flatMap((queryKey) => this.#client.getQueryCache().findAll({ queryKey })));
    for (const query of queries) {
      const { data, dataUpdatedAt } = query.state;
      this.#during.get(query.queryHash)?.delete(edit.row);
      this.#during.get(query.queryHash)?.set(edit.row, edit);
      if (data === undefined) continue;
      if (edit.isOlder?.(data)) continue;
      const { value, row } = edit.apply(data);
      if (row === "foreign") continue;
      const newer =
        edit.isOlder !== null ||
        this.#freshness.isNewer(query.queryHash, edit.row, edit.timestamp, dataUpdatedAt);
      // What changes nothing is welcome however old it is.
      if (row === "found" && (newer || value === data)) {
        this.#freshness.show(query.queryHash, edit.row, edit.timestamp);
        this.#put(query, value);
      } else {
        this.#refetch([query.queryKey]);
      }
    }
  }

  #land(query: Query): void {
    this.#redo(query);
    this.#during.delete(query.queryHash);
    this.#freshness.land(query.queryHash, Date.now());
  }

  /** What was fetched may be from before the messages that came meanwhile. */
  #redo(query: Query): void {
    for (const edit of this.#during.get(query.queryHash)?.values() ?? []) {
      const { data } = query.state;
      if (data === undefined || edit.isOlder?.(data)) continue;
      const { value, row } = edit.apply(data);
      this.#put(query, value);
      if (row === "absent") this.#refetch([query.queryKey]);
    }
  }

  #put(query: Query, value: unknown): void {
    if (value === query.state.data) return;
    this.#own = true;
    try {
      query.setState({ data: value });
    } finally {
      this.#own = false;
    }
  }
}

/** The protocol's three ways to say that a row is no more, for this user. */
function isGone({ type, data }: ServerMessage): boolean {
  if (type === "execution-deleted") return true;
  if (type === "agent-task-update") return data.deleted;
  return type === "row-changed" && (data.op === "delete" || data.op === "leave");
}

function isOlder(
  data: unknown,
  id: string,
  of: unknown,
  incoming: string | number | null | undefined,
  version: (row: Row) => string | number | null | undefined,
): boolean {
  let older = false;
  patched(data, id, of, (cached) => {
    const held = isRecord(cached) ? version(cached) : null;
    if (held !== null && held !== undefined && incoming !== null && incoming !== undefined)
      older ||= incoming <= held;
    return cached;
  });
  return older;
}
