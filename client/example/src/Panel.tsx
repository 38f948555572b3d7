/** A panel: a heading, and what is said while there is nothing to show, or something that could not be brought up to date. */

import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";

interface PanelProps<T> {
  readonly title: string;
  readonly query: UseQueryResult<T>;
  readonly actions?: ReactNode;
  readonly children: (data: T) => ReactNode;
}

export function Panel<T>({ title, query, actions, children }: PanelProps<T>) {
  const { data, error } = query;
  return (
    <section className="panel" aria-label={title}>
      <h2>{title}</h2>
      {actions}
      {error && <p role="alert">Not up to date: {error.message}</p>}
      {data === undefined ? !error && <p>Loading…</p> : children(data)}
    </section>
  );
}

export function Tiles({ of }: { of: Readonly<Record<string, ReactNode>> }) {
  return (
    <dl className="tiles">
      {Object.entries(of).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A table that may be wider than a phone; by keyboard it can be scrolled as well. */
export function Table({ of, head, children }: { of: string; head: readonly string[]; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: whoever has no mouse could not scroll it otherwise.
    <section className="scroll" aria-label={`Table of ${of}`} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {head.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}
