/**
 * The same view by polling, beside the live one: what it costs, how old it is, and which rows on it are wrong by now.
 *
 * Each poll is a check of the live view as well: a row that has not changed here since before the poll began must be what the
 * database answered. Whatever differs is counted and shown.
 */

import { element, setText } from "./element.js";
import { brief, bytes, count, dollars, duration, hundredths, NOTHING, plural, seconds } from "./format.js";
import { Rest, Unavailable } from "./rest.js";
import { Rows } from "./rows.js";

export const INTERVAL_MS = 30_000;
/** After which a change that the poll has seen must have come by the stream, too. */
const GRACE_MS = 2000;
const COMPARED = ["status", "progress", "current_node", "error_message", "tokens"];

export class Polling {
  #account;
  #parts;
  #rest;
  #executions = new Rows("execution_id");
  #tasks = new Rows("task_id");
  #polledAt = null;
  #dueAt = 0;
  #available = true;
  #problem = null;
  #audit = null;
  #timer = null;
  #median = Number.NaN;
  #lines = [];

  /** `parts`: the elements of the page, by name. */
  constructor(account, parts) {
    this.#account = account;
    this.#parts = parts;
    this.#rest = new Rest(() => account.connection.token);
  }

  /** Poll now, and every INTERVAL_MS from now on. Once is enough. */
  start() {
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => this.#poll(), INTERVAL_MS);
    this.#poll();
  }

  async #poll() {
    const began = Date.now();
    this.#dueAt = began + INTERVAL_MS;
    try {
      await this.#rest.statistics();
      const { executions, tasks } = await this.#rest.rows();
      this.#executions.replace(executions, began);
      this.#tasks.replace(tasks, began);
      this.#polledAt = Date.now();
      this.#problem = null;
      this.#available = true;
      const audited = [
        [this.#account.executions, executions],
        [this.#account.tasks, tasks],
      ];
      setTimeout(() => this.#compare(audited, began), GRACE_MS);
    } catch (error) {
      this.#available = !(error instanceof Unavailable);
      this.#problem = this.#available ? "The last poll failed." : "Not available: this server has no lists to poll.";
    }
    this.render(Date.now());
  }

  #compare(audited, began) {
    // While the stream is away, being behind is no fault.
    if (this.#account.state.name !== "live" || this.#account.state.since > began || this.#account.refetching) return;
    let compared = 0;
    let differing = 0;
    for (const [live, items] of audited) {
      const polled = new Map(items.map((row) => [row[live.key], row]));
      for (const id of new Set([...polled.keys(), ...live.entries().map(([id]) => id)])) {
        if (live.changedAt(id) >= began - GRACE_MS) continue;
        compared++;
        if (!alike(live.get(id), polled.get(id))) differing++;
      }
    }
    this.#audit = { compared, differing };
    this.render(Date.now());
  }

  /** Draw it: once a second, and when something has happened. `median`: how old a change is when it is on screen. */
  render(now, median = this.#median) {
    this.#median = median;
    const { counts, executions, tasks, rest } = this.#account;
    const put = (name, text) => setText(this.#parts[name], text);
    put("problem", this.#problem ?? "");
    put("liveAge", duration(median));
    put("due", this.#available ? `Next poll in ${seconds(this.#dueAt - now)}.` : "");
    put("polledAge", this.#polledAt === null ? NOTHING : duration(Math.round((now - this.#polledAt) / 1000) * 1000));
    put("polledRequests", this.#available ? count(this.#rest.requests) : NOTHING);
    put("polledBytes", this.#polledAt === null ? NOTHING : bytes(this.#rest.bytes));
    put("liveRequests", `${count(rest.requests)}, then ${plural(counts.messages, "message")}`);
    put("liveBytes", bytes(rest.bytes + counts.bytes));
    const total = executions.size + tasks.size;
    const wrong =
      this.#polledAt === null ? null : outdated(executions, this.#executions) + outdated(tasks, this.#tasks);
    put("polledWrong", wrong === null ? NOTHING : `${count(wrong)} of ${count(total)}`);
    this.#parts.polledWrong.classList.toggle("bad", wrong > 0);
    put(
      "liveWrong",
      this.#audit === null ? NOTHING : `${count(this.#audit.differing)} of ${count(this.#audit.compared)} checked`,
    );
    this.#parts.liveWrong.classList.toggle("bad", (this.#audit?.differing ?? 0) > 0);
  }

  /** The same rows in both views. `ids`: the executions to show. */
  renderRows(ids) {
    while (this.#lines.length < ids.length) this.#lines.push(this.#line());
    this.#lines.forEach((line, number) => {
      line.row.hidden = number >= ids.length;
      if (number < ids.length) this.#show(line, ids[number]);
    });
  }

  #line() {
    const cells = ["id", "live", "polled"].map((name) => element(name === "id" ? "th" : "td", { "data-column": name }));
    cells[0].setAttribute("scope", "row");
    const row = element("tr", {}, ...cells);
    this.#parts.lines.append(row);
    const words = element("span", { class: "words" });
    // The line through it is seen, but not heard.
    const age = element("span", { class: "unseen" });
    cells[2].append(words, age);
    return { row, id: cells[0], live: cells[1], polled: words, age };
  }

  #show(line, id) {
    const live = this.#account.executions.get(id);
    const polled = this.#executions.get(id);
    setText(line.id, brief(id));
    setText(line.live, wordsOf(live));
    const wrong = this.#polledAt !== null && !alike(live, polled);
    setText(line.polled, this.#polledAt === null ? NOTHING : polled === undefined ? "not there" : wordsOf(polled));
    line.row.classList.toggle("outdated", wrong);
    line.polled.classList.toggle("missing", polled === undefined);
    setText(line.age, wrong ? " (out of date)" : "");
  }
}

function wordsOf(row) {
  if (row === undefined) return "not there";
  const step = row.current_node === null ? "" : `, ${row.current_node}`;
  return `${row.status}, ${hundredths(row.progress ?? 0)}${step}, ${dollars(row.cost_usd)}`;
}

/** Whether what people see of two rows is the same. */
function alike(one, other) {
  if (one === undefined || other === undefined) return one === other;
  // Money is text: "0.10" and "0.1" are the same amount.
  return COMPARED.every((name) => one[name] === other[name]) && Number(one.cost_usd) === Number(other.cost_usd);
}

/** How many rows are not what they are by now: changed, new or gone. */
function outdated(live, polled) {
  const ids = new Set([...live.entries(), ...polled.entries()].map(([id]) => id));
  return [...ids].filter((id) => !alike(live.get(id), polled.get(id))).length;
}
