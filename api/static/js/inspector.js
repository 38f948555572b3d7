/**
 * The inspector: every message as it came, newest first; the chosen one in full; and where each connection is.
 *
 * A list box: one stop for the tab key, arrow keys inside. Choosing a message pauses the list, because nobody can read what moves.
 */

import { element, setText } from "./element.js";
import { brief, count, moment, NOTHING, plural, stateName } from "./format.js";
import { Record } from "./record.js";

const SHOWN = 60;
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/gi;

export class Inspector {
  #record = new Record();
  #parts;
  #chosen = null;
  /** The last entry that the list shows while it stands still; null: it follows. */
  #held = null;
  #redraw;

  /** `parts`: the elements of the page, by name. `redraw()` asks for render() with the next frame. */
  constructor(parts, redraw) {
    this.#parts = parts;
    this.#redraw = redraw;
    parts.words.addEventListener("input", redraw);
    parts.account.addEventListener("change", redraw);
    parts.pause.addEventListener("click", () => (this.#held === null ? this.#hold() : this.#follow()));
    parts.list.addEventListener("click", (event) => this.#choose(event.target.closest("[role=option]")));
    parts.list.addEventListener("keydown", (event) => this.#key(event));
  }

  add(account, direction, message) {
    this.#record.add(account.name, account.series, direction, message, Date.now());
    this.#redraw();
  }

  /** Offer this account in the filter. */
  addAccount(name) {
    this.#parts.account.append(element("option", { value: name }, name));
  }

  /** Draw what has changed. */
  render() {
    const { words, account, pause, paused } = this.#parts;
    const filter = { words: words.value, name: account.value };
    const entries = this.#record.newest(SHOWN, filter, this.#held ?? undefined);
    if (this.#draw(entries)) this.#mark();
    this.#parts.none.hidden = entries.length > 0;
    setText(pause, this.#held === null ? "Pause" : "Follow");
    const since = this.#record.total - (this.#held ?? 0);
    setText(
      paused,
      this.#held === null ? `${plural(this.#record.total, "message")}` : `Paused; ${count(since)} came since`,
    );
  }

  /** Only what comes and goes is touched: with each message one line of sixty. Returns whether anything was. */
  #draw(entries) {
    const { list } = this.#parts;
    const wanted = new Set(entries.map((entry) => String(entry.number)));
    const present = new Map();
    const before = list.children.length;
    for (const option of [...list.children]) {
      if (wanted.has(option.dataset.number)) present.set(option.dataset.number, option);
      else option.remove();
    }
    const changed = present.size < before;
    let next = list.firstElementChild;
    for (const entry of entries) {
      if (present.has(String(entry.number))) next = next.nextElementSibling;
      else list.insertBefore(this.#option(entry), next);
    }
    return changed || present.size < entries.length;
  }

  /** Where each connection is. */
  renderPlaces(accounts) {
    const lines = accounts.map((account) => {
      const { counts, outcomes, connection } = account;
      const cursor = connection.cursor ?? NOTHING;
      return element(
        "tr",
        { "data-series": account.series },
        element("th", { scope: "row" }, element("span", { class: "swatch", "aria-hidden": "true" }), account.name),
        element("td", {}, stateName(account.state.name)),
        element("td", { class: "right" }, count(counts.messages)),
        element("td", { class: "right" }, count(counts.repeats)),
        element("td", { class: "right" }, count(outcomes.fresh + outcomes.replayed + outcomes.resync)),
        element("td", { class: "cursor" }, element("code", { title: cursor }, cursor)),
      );
    });
    this.#parts.places.replaceChildren(...lines);
  }

  #option({ number, at, name, series, direction, message }) {
    const id = message.data?.execution_id ?? message.data?.task_id ?? null;
    const subject = message.data?.task_id ?? id;
    return element(
      "li",
      {
        role: "option",
        id: `message-${number}`,
        "data-number": number,
        "data-series": series,
        "aria-selected": "false",
      },
      element("span", { class: "when" }, moment(at)),
      element("span", { class: "who" }, element("span", { class: "swatch", "aria-hidden": "true" }), name),
      element("span", { class: "what" }, wordsOf(direction, message)),
      element("span", { class: "which" }, subject === null ? "" : brief(subject)),
    );
  }

  #hold() {
    this.#held = this.#record.total;
    this.#redraw();
  }

  #follow() {
    this.#held = null;
    this.#redraw();
  }

  #choose(option) {
    if (option === null || option === undefined) return;
    const entry = this.#record.find(Number(option.dataset.number));
    if (entry === undefined) return;
    this.#chosen = entry.number;
    if (this.#held === null) this.#hold();
    this.#parts.message.replaceChildren(...coloured(JSON.stringify(entry.message, null, 2)));
    this.#mark();
  }

  #mark() {
    const { list } = this.#parts;
    list.removeAttribute("aria-activedescendant");
    for (const option of list.children) {
      const chosen = Number(option.dataset.number) === this.#chosen;
      option.setAttribute("aria-selected", String(chosen));
      if (chosen) list.setAttribute("aria-activedescendant", option.id);
    }
  }

  #key(event) {
    const options = [...this.#parts.list.children];
    const place = options.findIndex((option) => Number(option.dataset.number) === this.#chosen);
    const target = {
      ArrowDown: Math.min(place + 1, options.length - 1),
      ArrowUp: Math.max(place - 1, 0),
      Home: 0,
      End: options.length - 1,
    }[event.key];
    if (event.key === "Escape") this.#follow();
    if (target === undefined || options.length === 0) return;
    event.preventDefault();
    this.#choose(options[target]);
    options[target].scrollIntoView({ block: "nearest" });
  }
}

function wordsOf(direction, { type, data }) {
  if (direction === "received") return type;
  return direction === "sent" ? `sent: ${type}` : data.sentence;
}

/** JSON as nodes: keys, texts and other values each in a span of their kind. */
function coloured(json) {
  const nodes = [];
  let end = 0;
  for (const match of json.matchAll(TOKEN)) {
    const [whole, text, colon] = match;
    if (match.index > end) nodes.push(json.slice(end, match.index));
    const kind = text === undefined ? "value" : colon === undefined ? "text" : "key";
    nodes.push(element("span", { class: kind }, text ?? whole));
    if (colon !== undefined) nodes.push(colon);
    end = match.index + whole.length;
  }
  nodes.push(json.slice(end));
  return nodes;
}
