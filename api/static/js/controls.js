/** The buttons that do something to everybody: cut all connections, restart the relay, run a bulk update. */

import { setText } from "./element.js";
import { count, duration, plural } from "./format.js";
import { CUT_MS } from "./pane.js";

export class Controls {
  #parts;
  #accounts;
  #announce;
  #suggested = null;
  #offered = false;

  /** `parts`: the elements of the page, by name. `announce(sentence)` tells those who hear the page. */
  constructor(parts, accounts, announce) {
    this.#parts = parts;
    this.#accounts = accounts;
    this.#announce = announce;
    parts.cut.addEventListener("click", () => this.#cut());
    parts.restart.addEventListener("click", () =>
      this.#post(
        "demo/restart-relay",
        parts.restart,
        ({ sessions, milliseconds }) =>
          `${plural(sessions, "database session")} of the relay ended in ${duration(milliseconds)}. ` +
          "It connects again by itself; the browsers' connections stay, and what changed meanwhile comes late, not never.",
      ),
    );
    parts.bulk.addEventListener("click", () =>
      this.#post(
        "demo/bulk-update",
        parts.bulk,
        ({ rows, milliseconds }) =>
          `One statement changed ${plural(rows, "execution")} in ${duration(milliseconds)}: each costs a cent more. ` +
          "Every owner got his own.",
      ),
    );
  }

  /** Offer what needs the server, for this admin. */
  offerDemonstration() {
    for (const part of [this.#parts.restart, this.#parts.bulk]) part.hidden = false;
    this.#offered = true;
  }

  /** A statement to try, on a row that everybody can see: another one when the last one is not running any more. */
  suggest(executions) {
    if (this.#suggested !== null && executions.get(this.#suggested)?.status === "running") return;
    // The one that has not changed for longest: what a person does to it, nobody else has done.
    const id = executions.entries().find(([, row]) => row.status === "running")?.[0];
    if (id === undefined) return;
    this.#suggested = id;
    this.#parts.statement.hidden = !this.#offered;
    setText(this.#parts.sql, `update workflow_execution set progress = progress + 1 where id = '${id}';`);
  }

  #cut() {
    const cut = this.#accounts().filter(({ state }) => state.name === "live");
    for (const account of cut) account.connection.cut(CUT_MS);
    this.#say(`${plural(cut.length, "connection")} cut for ${count(CUT_MS / 1000)} seconds.`);
  }

  async #post(path, button, tell) {
    const admin = this.#accounts().find((account) => account.admin);
    if (admin === undefined) {
      this.#say("This needs the admin's connection, which is not there yet.");
      return;
    }
    button.disabled = true;
    this.#say("Under way.");
    try {
      const answer = await fetch(new URL(path, document.baseURI), {
        method: "POST",
        headers: { Authorization: `Bearer ${admin.connection.token}` },
      });
      const body = await answer.json();
      this.#say(answer.ok ? tell(body) : `The server refused: ${body.detail}`);
    } catch {
      this.#say("The server did not answer.");
    } finally {
      button.disabled = false;
    }
  }

  #say(sentence) {
    setText(this.#parts.outcome, sentence);
    this.#announce(sentence);
  }
}
