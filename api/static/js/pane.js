/** One user's pane: who it is, how the connection is, the tiles, the two boards; for an admin the admin's figures. */

import { Board } from "./board.js";
import { EXECUTION, TASK } from "./columns.js";
import { button, element, setText } from "./element.js";
import { Figures, TOPICS } from "./figures.js";
import { plural, seconds, stateName, time } from "./format.js";
import { Tiles } from "./tiles.js";

/** Long enough to see that the pane stands still, and that nothing is missing afterwards. */
export const CUT_MS = 5000;

export class Pane {
  #account;
  #badge = element("span", { class: "state" });
  #story = element("p", { class: "story" });
  #cut;
  #tiles = new Tiles();
  #boards;
  #tables;
  #nothing = element("p", { class: "note", hidden: true });
  #figures = new Map(TOPICS.map((topic) => [topic, new Figures(topic)]));

  constructor(account, id) {
    this.#account = account;
    this.#cut = button("Cut", () => this.#cutOrReturn(), { class: "quiet" });
    this.#boards = [
      new Board({ rows: account.executions, title: "Executions", columns: EXECUTION, size: 8 }),
      new Board({ rows: account.tasks, title: "Agent tasks", columns: TASK, size: 6 }),
    ];
    this.#tables = element("div", { class: "boards" }, ...this.#boards.map((board) => board.element));
    const heading = element("h3", { id }, element("span", { class: "swatch", "aria-hidden": "true" }), account.name);
    this.element = element(
      "article",
      { class: "card pane", "aria-labelledby": id, "data-account": account.name, "data-series": account.series },
      element("header", {}, heading, this.#badge, this.#cut),
      this.#story,
      this.#tiles.element,
      element("div", { class: "all-figures" }, ...[...this.#figures.values()].map((figures) => figures.element)),
      this.#tables,
      this.#nothing,
    );
    this.renderState();
  }

  /** The ids on the board of executions. */
  get executionIds() {
    return this.#boards[0].ids;
  }

  renderRows = () => {
    for (const board of this.#boards) board.render();
    const { executions, tasks, hasLists, admin, userId } = this.#account;
    const empty = executions.size + tasks.size === 0;
    const unknown = userId === null && hasLists !== false;
    this.#tables.hidden = empty && (admin || (unknown && hasLists));
    this.#nothing.hidden = !empty || unknown;
    setText(
      this.#nothing,
      admin
        ? "Owns no row. An admin sees the figures of all, and nobody else's rows."
        : hasLists === false
          ? "This server has no lists to begin with: rows appear as they change."
          : "No rows yet.",
    );
  };

  renderFigures = () => {
    const { admin, userId, figures: bodies } = this.#account;
    const statistics = bodies.get("dashboard-stats");
    // An admin owns nothing: tiles full of zeros would only hide what he is here for. Who is one, the server says last.
    const ownsNothing = statistics?.executions.total === 0 && statistics.agent_tasks.total === 0;
    this.#tiles.render(admin || (userId === null && ownsNothing) ? undefined : statistics);
    for (const [topic, figures] of this.#figures) figures.render(this.#account.figures.get(topic));
  };

  renderState = () => {
    const { state, refetching } = this.#account;
    const name = state.name === "live" && refetching ? "refetching" : state.name;
    this.#badge.dataset.state = name;
    // What stands still is to look like it.
    this.element.classList.toggle("frozen", name === "waiting" || name === "stopped");
    setText(this.#badge, stateName(name));
    setText(this.#story, storyOf(this.#account));
    const waiting = state.name === "waiting";
    setText(this.#cut, waiting ? "Reconnect now" : "Cut");
    this.#cut.setAttribute(
      "aria-label",
      waiting ? `Reconnect now: ${this.#account.name}` : `Cut the connection of ${this.#account.name}`,
    );
    this.#cut.disabled = state.name !== "live" && !waiting;
    this.renderRows();
  };

  #cutOrReturn() {
    if (this.#account.state.name === "waiting") this.#account.connection.reconnect();
    else this.#account.connection.cut(CUT_MS);
  }
}

/** The connection's state in a sentence. */
function storyOf({ state, outcome, counts, refetching, admin }) {
  switch (state.name) {
    case "idle":
      return "First load.";
    case "connecting":
      return "Connecting.";
    case "waiting":
      return `${state.sentence}. Next attempt in ${seconds(state.until - Date.now())}.`;
    case "stopped":
      return state.sentence;
    default: {
      const since = `Live since ${time(state.since)}`;
      if (refetching) return `${since}; fetching everything anew.`;
      const came = admin ? `${plural(counts.messages, "message")} came` : `${plural(counts.changes, "change")} came`;
      if (outcome === "fresh") return `${since}; resumed, nothing was missed. ${came}.`;
      if (outcome === "replayed")
        return `${since}; resumed, ${plural(counts.caughtUp, "missed change")} replayed. ${came}.`;
      if (outcome === "resync")
        return `${since}; too much was missed to replay, so everything was fetched anew. ${came}.`;
      return `${since}. ${came}.`;
    }
  }
}
