/**
 * One user's live view: the first load by REST, then the stream from that snapshot on.
 *
 * Guarantees: repeats are dropped by id; when the server says `resync` or `rows-changed`, both lists are fetched anew within
 * the time it names and the stream is asked to go on from that snapshot, so that no older message overwrites a newer row.
 * Where the server has no lists, the view fills with what the stream brings. It draws nothing: `changed` tells who does.
 */

import { Connection } from "./connection.js";
import { backoff } from "./policy.js";
import { RecentIds } from "./recent.js";
import { Rest, Unavailable } from "./rest.js";
import { Rows } from "./rows.js";

const REMEMBERED = 20_000;
/** Changes that are announced rather than sent are announced to everybody at once. */
const SPREAD_AFTER_CHANGE = 500;

/** Whether a message is about one row. */
export const isChange = (type) =>
  type.startsWith("execution-") || type === "agent-task-update" || type === "row-changed";

export class Account {
  #ids = new RecentIds(REMEMBERED);
  #joining = false;
  #due = null;
  #timer = null;
  #failures = 0;
  #readyAt = Number.POSITIVE_INFINITY;
  #listeners;

  /**
   * `listeners`: `state(account)`, `changed(account, message | null, measured)`, `figures(account)`,
   * `log(account, direction, message)`. `measured`: the change was made while we were listening, and is drawn.
   */
  constructor({ name, series, token, renew, listeners }) {
    this.name = name;
    this.series = series;
    this.userId = null;
    this.admin = false;
    this.topics = [];
    this.executions = new Rows("execution_id");
    this.tasks = new Rows("task_id");
    /** The newest body of each statistic, by topic. */
    this.figures = new Map();
    this.outcomes = { fresh: 0, replayed: 0, resync: 0 };
    this.outcome = null;
    this.counts = { messages: 0, changes: 0, bytes: 0, repeats: 0, connections: 0, caughtUp: 0, loads: 0 };
    this.hasLists = null;
    this.refetching = false;
    this.#listeners = listeners;
    this.connection = new Connection({
      token,
      renew,
      heard: (messages, text) => this.#hear(messages, text),
      changed: (state) => this.#moved(state),
    });
    this.rest = new Rest(() => this.connection.token);
  }

  get state() {
    return this.connection.state;
  }

  /** First load, then the stream. */
  async open() {
    try {
      this.connection.cursor = await this.#load();
      // Without a place to go on from there is a gap before the stream, to be closed when that is live.
      if (this.hasLists && this.connection.cursor === null) this.#due = 0;
    } catch {
      // The connection finds out what is wrong, and says so; the lists come as soon as it is live.
      this.#due = 0;
    }
    this.connection.open();
  }

  /** Fetch everything anew, at some moment within `spread` milliseconds. */
  refetch(spread) {
    if (this.#due !== null || this.hasLists === false) return;
    this.#due = Math.random() * spread;
    this.#fetchWhenDue();
  }

  async #load() {
    this.counts.loads++;
    const statistics = await this.rest.statistics();
    if (statistics !== null) {
      this.figures.set("dashboard-stats", statistics);
      this.#listeners.figures(this);
    }
    try {
      const { executions, tasks, cursor } = await this.rest.rows();
      // What the first load brings has not changed here yet.
      const at = this.hasLists === null ? 0 : Date.now();
      this.executions.replace(executions, at);
      this.tasks.replace(tasks, at);
      this.hasLists = true;
      this.#listeners.changed(this, null, false);
      return cursor;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      this.hasLists = false;
      return this.connection.cursor;
    }
  }

  #fetchWhenDue() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fetch(), this.#due);
  }

  async #fetch() {
    this.refetching = true;
    this.#listeners.state(this);
    try {
      const cursor = await this.#load();
      this.#due = null;
      this.#failures = 0;
      if (this.hasLists && cursor !== null) this.#goOnFrom(cursor);
    } catch {
      // Without a connection there is no hurry: the next one begins with this.
      this.#due = 500 + backoff(this.#failures++, Math.random());
      if (this.state.name === "live") this.#fetchWhenDue();
    } finally {
      this.refetching = false;
      this.#listeners.state(this);
    }
  }

  /** The rows are as of this cursor now: what is newer is sent again, and what still comes until then is ignored. */
  #goOnFrom(cursor) {
    this.#ids.clear();
    this.connection.cursor = cursor;
    const request = { type: "subscribe", since: cursor };
    this.#joining = this.connection.send(request);
    if (this.#joining) this.#listeners.log(this, "sent", request);
  }

  #moved(state) {
    if (state.name === "live") {
      this.counts.connections++;
      this.#joining = false;
      if (this.#due !== null && !this.refetching) this.#fetchWhenDue();
      // The rest is told with the message that it became live by.
      return;
    }
    if (state.name === "waiting" || state.name === "stopped") {
      const since = this.connection.cursor;
      this.#listeners.log(this, "lost", {
        type: state.name,
        timestamp: null,
        data: { sentence: state.sentence, since },
      });
    }
    this.#listeners.state(this);
  }

  #hear(messages, text) {
    this.counts.bytes += text.length;
    for (const message of messages) {
      this.counts.messages++;
      this.#listeners.log(this, "received", message);
      this.#heed(message);
      if (message.cursor !== undefined && !this.#joining) this.connection.cursor = message.cursor;
    }
  }

  #heed(message) {
    const { type, data } = message;
    if (type === "ready" || type === "subscribed") this.#greet(message);
    else if (isChange(type)) this.#change(message);
    else if (type === "rows-changed") this.refetch(SPREAD_AFTER_CHANGE);
    else if (type === "resync") this.refetch(data.spread_ms);
    else if (type.endsWith("-update")) {
      this.figures.set(topicOf(type), data);
      this.#listeners.figures(this);
    }
  }

  #greet({ type, data, timestamp }) {
    this.userId = data.user_id;
    this.admin = data.admin;
    this.topics = data.topics;
    this.#joining = false;
    if (type === "ready") {
      this.#readyAt = Date.parse(timestamp);
      // The first connection resumes from the first load, which is no news to anybody.
      if (this.counts.connections > 1) {
        this.outcome = data.outcome;
        this.outcomes[data.outcome]++;
        this.counts.caughtUp = 0;
      }
    }
    this.#listeners.state(this);
  }

  #change(message) {
    if (this.#joining) return;
    if (!this.#ids.add(message.id)) {
      this.counts.repeats++;
      return;
    }
    this.counts.changes++;
    const missed = Date.parse(message.timestamp) < this.#readyAt;
    if (missed) this.counts.caughtUp++;
    this.#apply(message);
    // Of a table that has no board here nothing is drawn, so there is nothing to measure.
    this.#listeners.changed(this, message, !missed && message.type !== "row-changed");
  }

  #apply({ type, data }) {
    const rows = type === "agent-task-update" ? this.tasks : this.executions;
    if (type === "row-changed") return;
    if (data.partial) this.refetch(SPREAD_AFTER_CHANGE);
    else if (type === "execution-deleted" || data.deleted) rows.remove(data[rows.key], Date.now());
    else rows.put(data, Date.now());
  }
}

const topicOf = (type) => type.slice(0, -"-update".length);
