/**
 * The page, put together: an account and a pane for each token, and what looks at all of them.
 *
 * Tokens come from `demo.json` where this is a demonstration, else from whoever pastes one; they are kept in memory alone.
 */

import { Account } from "./account.js";
import { Announcer } from "./announcer.js";
import { Controls } from "./controls.js";
import { setText } from "./element.js";
import { plural } from "./format.js";
import { Frames } from "./frames.js";
import { Inspector } from "./inspector.js";
import { Overview } from "./overview.js";
import { Pane } from "./pane.js";
import { Polling } from "./polling.js";

const SERIES = 4;

/** The elements that have an id which begins so, by the rest of it. */
function parts(prefix) {
  const found = {};
  for (const node of document.querySelectorAll(`[id^="${prefix}-"]`)) {
    const name = node.id.slice(prefix.length + 1).replaceAll(/-(\w)/g, (_, letter) => letter.toUpperCase());
    found[name] = node;
  }
  return found;
}

class Page {
  #frames = new Frames();
  #accounts = [];
  #panes = new Map();
  #announcer = new Announcer(document.getElementById("announcements"));
  #overview = new Overview(() => this.#accounts, parts("figure"), document.getElementById("chart"));
  #inspector = new Inspector(parts("inspector"), () => this.#frames.request(this.#renderInspector));
  #controls = new Controls(
    parts("try"),
    () => this.#accounts,
    (sentence) => this.#announcer.say(sentence),
  );
  #polling = null;
  #summary = document.getElementById("summary");
  #renderInspector = () => this.#inspector.render();

  async start() {
    const tokens = await demoTokens().catch(() => ({}));
    for (const [name, token] of Object.entries(tokens))
      this.#add(name, token, async () => (await demoTokens())[name] ?? token);
    if (this.#accounts.length > 0) this.#controls.offerDemonstration();
    else this.#askForTokens();
    setInterval(() => this.#tick(), 1000);
    this.#tick();
  }

  #askForTokens() {
    const { form, token } = parts("paste");
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const pasted = token.value.trim();
      token.value = "";
      if (pasted === "") return;
      this.#add(`Token ${this.#accounts.length + 1}`, pasted, async () => pasted);
    });
  }

  #add(name, token, renew) {
    const listeners = {
      state: (account) => this.#moved(account),
      changed: (account, message, measured) => this.#changed(account, message, measured),
      figures: (account) => this.#frames.request(this.#panes.get(account).renderFigures),
      log: (account, direction, message) => this.#logged(account, direction, message),
    };
    const account = new Account({ name, series: (this.#accounts.length % SERIES) + 1, token, renew, listeners });
    const pane = new Pane(account, `pane-${this.#accounts.length + 1}`);
    this.#accounts.push(account);
    this.#panes.set(account, pane);
    document.getElementById("panes").append(pane.element);
    this.#inspector.addAccount(name);
    if (this.#polling === null) {
      this.#polling = new Polling(account, parts("poll"));
      for (const node of document.querySelectorAll("[data-polled-account]")) node.textContent = name;
      document.getElementById("polling").hidden = false;
    }
    account.open();
  }

  #moved(account) {
    const pane = this.#panes.get(account);
    if (pane === undefined) return;
    this.#announcer.state(account);
    if (account === this.#accounts[0] && account.state.name === "live") this.#polling.start();
    this.#frames.request(pane.renderState);
    this.#frames.request(this.#renderSummary);
  }

  #changed(account, message, measured) {
    const pane = this.#panes.get(account);
    this.#frames.request(pane.renderRows, message !== null && measured ? this.#measure(account, message) : null);
    if (account === this.#accounts[0]) {
      this.#frames.request(this.#renderPolled);
    }
    if (message !== null) this.#announcer.change();
  }

  /** From the moment when the row was written to the moment when it is on screen. */
  #measure(account, message) {
    const captured = Date.parse(message.timestamp);
    const arrived = Date.now() - captured;
    return (now) => this.#overview.add(account, { at: now, arrived, painted: now - captured });
  }

  #logged(account, direction, message) {
    this.#inspector.add(account, direction, message);
    if (message.type === "ready" || message.type === "heartbeat" || message.type === "subscribed") {
      this.#overview.note(message.timestamp, Date.now());
    }
  }

  #renderPolled = () => {
    const [first] = this.#accounts;
    this.#polling.renderRows(this.#panes.get(first).executionIds);
  };

  #renderSummary = () => {
    const live = this.#accounts.filter(({ state }) => state.name === "live").length;
    const all = this.#accounts.length;
    this.#summary.dataset.state = all > 0 && live === all ? "live" : "waiting";
    setText(this.#summary, all === 0 ? "No connection" : `${live} of ${plural(all, "connection")} live`);
  };

  #tick() {
    const now = Date.now();
    this.#overview.render(now);
    this.#inspector.renderPlaces(this.#accounts);
    for (const pane of this.#panes.values()) pane.renderState();
    this.#renderSummary();
    if (this.#polling !== null) {
      this.#polling.render(now, this.#overview.median);
      this.#renderPolled();
      this.#controls.suggest(this.#accounts[0].executions);
    }
  }
}

/** Tokens by name; none where this is no demonstration, or where the server cannot be reached. */
async function demoTokens() {
  const answer = await fetch(new URL("demo.json", document.baseURI), { cache: "no-store" });
  return answer.ok ? (await answer.json()).tokens : {};
}

await new Page().start();
