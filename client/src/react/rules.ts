/**
 * Rules: which cached queries a message concerns, and what is to be done with them.
 *
 * A key is a prefix, as everywhere in TanStack Query: `["executions"]` means every list and every page of it. Rules are
 * fixed for as long as a provider is mounted; what they say is pure.
 */

import type { QueryKey } from "@tanstack/react-query";
import type { MessageOf, MessageType, ServerMessage } from "../messages.js";

export type { QueryKey } from "@tanstack/react-query";

/** The row of a message put into every cached list, page or object that holds it. */
export interface Patch<M extends ServerMessage> {
  /** The queries that may hold it. */
  readonly keys: readonly QueryKey[];
  /** The member of a cached row that names it, such as `execution_id`. */
  readonly id: string;
  /** The row in the message; by default its data. Null: this message has none, and the queries are fetched again. */
  readonly row?: (message: M) => Readonly<Record<string, unknown>> | null;
  /** Whether the row is no more; by default what the protocol's messages say. */
  readonly gone?: (message: M) => boolean;
  /**
   * What grows with every write of a row, in the row of the message as well as in the cached one, such as `updated_at`.
   * Without it a message that might be older than what is cached causes a fetch instead.
   */
  readonly version?: (row: Readonly<Record<string, unknown>>) => string | number | null | undefined;
}

export interface Rule<M extends ServerMessage> {
  /** These are fetched again. A function needs `within`: the prefixes of everything that it may ever return. */
  readonly invalidate?: readonly QueryKey[] | ((message: M) => readonly QueryKey[]);
  readonly within?: readonly QueryKey[];
  readonly patch?: Patch<M> | readonly Patch<M>[];
  /** The message's data is what these queries would fetch: statistics. */
  readonly replace?: readonly QueryKey[];
}

export interface Rules {
  /** By type. A list of keys is short for a rule that fetches them again. */
  readonly events?: { readonly [T in MessageType]?: readonly QueryKey[] | Rule<MessageOf<T>> };
  /** By table, `schema.table`: what is fetched again after a bulk change, a resync, or a row that has no rule. */
  readonly sources?: Readonly<Record<string, readonly QueryKey[]>>;
}

type AnyRule = Rule<ServerMessage>;

/** The rule of a type, as a whole rule. */
export function ruleOf({ events }: Rules, type: string): AnyRule | null {
  const rule = events && Object.hasOwn(events, type) ? events[type as MessageType] : undefined;
  if (!rule) return null;
  return Array.isArray(rule) ? { invalidate: rule } : (rule as AnyRule);
}

export function patchesOf({ patch }: AnyRule): readonly Patch<ServerMessage>[] {
  return patch === undefined ? [] : Array.isArray(patch) ? patch : [patch as Patch<ServerMessage>];
}

/** Everything that a rule can touch. */
export function keysOf(rule: AnyRule): readonly QueryKey[] {
  const { invalidate, within = [], replace = [] } = rule;
  const fetched = typeof invalidate === "function" ? within : (invalidate ?? []);
  return [...fetched, ...replace, ...patchesOf(rule).flatMap(({ keys }) => keys)];
}

/** Everything that is mapped at all. */
export function allKeys(rules: Rules): readonly QueryKey[] {
  const events = Object.keys(rules.events ?? {}).flatMap((type) => {
    const rule = ruleOf(rules, type);
    return rule ? keysOf(rule) : [];
  });
  return [...events, ...Object.values(rules.sources ?? {}).flat()];
}

/** What shows these tables. Of one that is not mapped nothing is known, and so it may be anything. */
export function keysOfSources(rules: Rules, sources: readonly string[] | null): readonly QueryKey[] {
  if (sources === null) return allKeys(rules);
  const known = sources.map((source) =>
    rules.sources && Object.hasOwn(rules.sources, source) ? rules.sources[source] : undefined,
  );
  return known.some((keys) => keys === undefined) ? allKeys(rules) : known.flatMap((keys) => keys ?? []);
}

/** Fails where the application is written, not when the first message of a type comes. */
export function checkRules(rules: Rules): Rules {
  for (const type of Object.keys(rules.events ?? {})) {
    const rule = ruleOf(rules, type);
    if (typeof rule?.invalidate === "function" && !rule.within)
      throw new TypeError(
        `changefeed: the rule of "${type}" computes its keys; name their prefixes in \`within\`, for a resync`,
      );
  }
  return rules;
}
