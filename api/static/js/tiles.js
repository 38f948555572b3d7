/** Tiles: a few numbers of one user's, large enough to be read from afar. They flash when they change. */

import { element, flash, setText } from "./element.js";
import { compact, count, dollars, duration, NOTHING, percent } from "./format.js";

const TILES = [
  { label: "Executions", text: ({ executions }) => count(executions.total) },
  { label: "Running", text: ({ executions }) => count(executions.by_status.running ?? 0) },
  { label: "Success", text: ({ executions }) => percent(executions.success_rate ?? Number.NaN) },
  { label: "Average run", text: ({ executions }) => duration((executions.avg_duration_seconds ?? Number.NaN) * 1000) },
  { label: "Cost", text: ({ executions }) => dollars(executions.cost_usd) },
  { label: "Agent tasks", text: ({ agent_tasks }) => count(agent_tasks.total) },
  { label: "Tokens", text: ({ agent_tasks }) => compact(agent_tasks.tokens) },
  { label: "Tasks' cost", text: ({ agent_tasks }) => dollars(agent_tasks.cost_usd) },
];

export class Tiles {
  #values = [];

  constructor() {
    const pairs = TILES.map(({ label }) => {
      const value = element("dd", {}, NOTHING);
      this.#values.push(value);
      return element("div", { class: "tile" }, element("dt", {}, label), value);
    });
    this.element = element("dl", { class: "tiles", hidden: true }, ...pairs);
  }

  /** `figures`: the body of the dashboard's statistics; undefined where there is none. */
  render(figures) {
    const first = this.element.hidden;
    this.element.hidden = figures === undefined;
    if (figures === undefined) return;
    TILES.forEach(({ text }, number) => {
      const value = this.#values[number];
      if (setText(value, text(figures)) && !first) flash(value);
    });
  }
}
