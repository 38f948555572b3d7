/**
 * What those hear who cannot see the page: changes of a connection's state at once, what came of a button, and once a minute how
 * much has changed. Never single changes: nobody could listen to them.
 */

import { plural } from "./format.js";

const SUMMARY_MS = 60_000;

const OFF = { waiting: "offline", stopped: "disconnected" };
const RESUMED = {
  fresh: "nothing was missed",
  replayed: "what was missed follows",
  resync: "everything is fetched anew",
};

const sentence = (state) => `${state.sentence.replace(/\.$/, "")}.`;

export class Announcer {
  #place;
  #states = new Map();
  #sentences = [];
  #scheduled = false;
  #changes = 0;

  /** `place`: an element that is a polite live region. */
  constructor(place) {
    this.#place = place;
    setInterval(() => this.#summarise(), SUMMARY_MS);
  }

  /** Say a sentence. What comes in one go is said in one go. */
  say(sentence) {
    this.#sentences.push(sentence);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setTimeout(() => {
      this.#scheduled = false;
      this.#place.textContent = this.#sentences.splice(0).join(" ");
    }, 200);
  }

  /** An account is as it is now. */
  state({ name, state, outcome }) {
    if (this.#states.get(name) === state.name) return;
    this.#states.set(name, state.name);
    if (state.name === "live") this.say(`${name} is live${outcome === null ? "" : ` again; ${RESUMED[outcome]}`}.`);
    if (state.name === "waiting" || state.name === "stopped")
      this.say(`${name} is ${OFF[state.name]}: ${sentence(state)}`);
  }

  change() {
    this.#changes++;
  }

  #summarise() {
    if (this.#changes > 0) this.say(`${plural(this.#changes, "change")} in the last minute.`);
    this.#changes = 0;
  }
}
