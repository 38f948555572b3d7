/** An admin's figures: of the system, of the costs, of the connectors. A value that changes flashes. */

import { element, flash, setText } from "./element.js";
import { bytes, compact, count, dollars, duration, NOTHING, percent } from "./format.js";

const share = (value) => percent(value ?? Number.NaN);
const milliseconds = (value) => duration(value ?? Number.NaN);
const perSecond = (value) => (value === null || value === undefined ? NOTHING : value.toFixed(1));

/** Topic → what is shown of its body: single values, and one table. */
const VIEWS = {
  "system-metrics": {
    title: "System",
    pairs: [
      ["Events per second", ({ changefeed }) => perSecond(changefeed.events_per_second)],
      ["Sessions", ({ changefeed }) => count(changefeed.sessions)],
      ["Relays", ({ changefeed }) => count(changefeed.relays)],
      ["Capture errors", ({ changefeed }) => count(changefeed.capture_errors)],
      ["Transactions/s", ({ database }) => perSecond(database.transactions_per_second)],
      ["Connections", ({ database }) => `${count(database.connections)} of ${count(database.max_connections)}`],
      ["Database", ({ database }) => bytes(database.size_bytes)],
      ["Cache hits", ({ database }) => share(database.cache_hit_ratio)],
      ["Processor", ({ host }) => (host.cpu_percent === null ? NOTHING : `${Math.round(host.cpu_percent)} %`)],
      ["Memory", ({ host }) => share(host.memory_used_bytes / host.memory_total_bytes)],
      ["Event log", ({ changefeed }) => bytes(changefeed.log_bytes)],
      ["Statistics drift", ({ changefeed }) => count(changefeed.statistics_drift)],
    ],
  },
  "cost-analytics": {
    title: "Costs",
    pairs: [
      ["Executions", ({ totals }) => dollars(totals.execution_cost_usd)],
      ["Agent tasks", ({ totals }) => dollars(totals.agent_task_cost_usd)],
      ["Tokens", ({ totals }) => compact(totals.tokens)],
    ],
    table: {
      caption: "The most expensive agents",
      rows: ({ by_agent }) => by_agent,
      most: 4,
      columns: [
        ["Agent", (row) => row.agent ?? NOTHING],
        ["Tasks", (row) => count(row.agent_tasks)],
        ["Tokens", (row) => compact(row.tokens)],
        ["Cost", (row) => dollars(row.cost_usd)],
      ],
    },
  },
  "connector-stats": {
    title: "Connectors",
    pairs: [],
    table: {
      caption: "Calls of the last 24 hours",
      rows: ({ connectors }) => connectors,
      most: 6,
      columns: [
        ["Connector", (row) => row.name ?? NOTHING],
        ["Calls", (row) => count(row.calls)],
        ["Errors", (row) => share(row.error_rate)],
        ["Median", (row) => milliseconds(row.latency_p50_ms)],
        ["p95", (row) => milliseconds(row.latency_p95_ms)],
      ],
    },
  },
};

export const TOPICS = Object.keys(VIEWS);

export class Figures {
  #view;
  #values;
  #body = element("tbody");
  #drawn = false;

  constructor(topic) {
    this.#view = VIEWS[topic];
    const { title, pairs, table } = this.#view;
    this.#values = pairs.map(() => element("dd", {}, NOTHING));
    const list = pairs.map(([label], number) => element("div", {}, element("dt", {}, label), this.#values[number]));
    this.element = element("section", { class: "figures", hidden: true }, element("h4", {}, title));
    if (list.length > 0) this.element.append(element("dl", { class: "pairs" }, ...list));
    if (table !== undefined) this.element.append(this.#table(table));
  }

  #table({ caption, columns }) {
    const heads = columns.map(([label], number) =>
      element("th", { scope: "col", class: number > 0 ? "right" : null }, label),
    );
    const head = element("thead", {}, element("tr", {}, ...heads));
    return element("table", { class: "small" }, element("caption", {}, caption), head, this.#body);
  }

  /** `body`: the statistic; undefined while there is none. */
  render(body) {
    if (body === undefined) return;
    this.element.hidden = false;
    for (const [number, [, text]] of this.#view.pairs.entries()) this.#set(this.#values[number], text(body));
    if (this.#view.table !== undefined) this.#fill(this.#view.table, body);
    this.#drawn = true;
  }

  #fill({ rows, columns, most }, body) {
    const shown = rows(body).slice(0, most);
    while (this.#body.rows.length > shown.length) this.#body.lastElementChild.remove();
    while (this.#body.rows.length < shown.length) this.#body.append(this.#row(columns));
    for (const [line, row] of shown.entries()) {
      for (const [number, [, text]] of columns.entries()) this.#set(this.#body.rows[line].cells[number], text(row));
    }
  }

  #row(columns) {
    const cells = columns.map((_, number) =>
      element(number === 0 ? "th" : "td", number === 0 ? { scope: "row" } : { class: "right" }),
    );
    return element("tr", {}, ...cells);
  }

  #set(node, text) {
    const first = node.textContent === "";
    if (setText(node, text) && this.#drawn && !first) flash(node);
  }
}
