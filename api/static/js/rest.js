/**
 * The first load and the polling: REST with the user's token, counted.
 *
 * Each answer names the cursor of the snapshot that it was read in, so that the stream can go on from there without a gap.
 */

const PAGE = 200;
/** More than this is no dashboard; the rest is left out rather than fetched for ever. */
const MOST_PAGES = 20;

/** The server does not have what was asked for: an older one, or one that was put together without it. */
export class Unavailable extends Error {}

export class Rest {
  #token;

  /** `token()` gives the token in force. */
  constructor(token) {
    this.#token = token;
    this.requests = 0;
    this.bytes = 0;
  }

  /** `{body, cursor}`. Throws Unavailable, and Error where the server refuses or cannot be reached. */
  async get(path) {
    this.requests++;
    const answer = await fetch(new URL(path, document.baseURI), {
      headers: { Authorization: `Bearer ${this.#token()}` },
      cache: "no-store",
      credentials: "omit",
    });
    const text = await answer.text();
    this.bytes += text.length;
    if (answer.status === 404) throw new Unavailable(path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return { body: JSON.parse(text), cursor: answer.headers.get("X-Changefeed-Cursor") };
  }

  /** All pages of a list: `{items, cursor}`, with the cursor of the first page, which is the oldest. */
  async list(path) {
    const items = [];
    let next = null;
    let cursor = null;
    for (let page = 0; page < MOST_PAGES; page++) {
      const after = next === null ? "" : `&after=${encodeURIComponent(next)}`;
      const answer = await this.get(`${path}?limit=${PAGE}${after}`);
      if (page === 0) cursor = answer.cursor;
      items.push(...answer.body.items);
      next = answer.body.next;
      if (next === null || next === undefined) break;
    }
    return { items, cursor };
  }

  /** Both lists: `{executions, tasks, cursor}`. The cursor is the first answer's: nothing after it can be missed. */
  async rows() {
    const executions = await this.list("api/v1/executions");
    const tasks = await this.list("api/v1/agent-tasks");
    return { executions: executions.items, tasks: tasks.items, cursor: executions.cursor };
  }

  /** The statistics of this user, or null where the server has none. */
  async statistics() {
    try {
      return (await this.get("api/v1/stats/dashboard")).body;
    } catch (error) {
      if (error instanceof Unavailable) return null;
      throw error;
    }
  }
}
