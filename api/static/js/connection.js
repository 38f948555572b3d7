/**
 * One WebSocket that comes back: it says in which state it is, hands on messages in order, and resumes from the last cursor.
 *
 * Guarantees: the token is in a subprotocol, never in an address; after a loss it waits with backoff and jitter; what the
 * server says about coming back is obeyed; a close that means "do not" ends it with a sentence for people. It knows nothing
 * of rows. States: `idle`, `connecting`, `live`, `waiting` (`until`, `sentence`), `stopped` (`sentence`).
 */

import { backoff, postponed, TIMING, verdictOf } from "./policy.js";

const PROTOCOL = "changefeed.v1";

export class Connection {
  #token;
  #renew;
  #heard;
  #changed;
  #socket = null;
  #timer = null;
  #attempts = 0;
  #heardAt = 0;
  #liveAt = 0;
  #advice = null;
  #complaint = null;

  /**
   * `renew()` resolves to another token, or the same where there is none. `heard(messages, text)` gets what one frame
   * held. `changed(state)` is told of every change of state.
   */
  constructor({ token, renew, heard, changed }) {
    this.#token = token;
    this.#renew = renew;
    this.#heard = heard;
    this.#changed = changed;
    this.state = { name: "idle" };
    /** Where to go on from: the latest cursor of which everything has been handed on. Set it to begin elsewhere. */
    this.cursor = null;
    addEventListener("online", () => this.state.name === "waiting" && this.reconnect());
  }

  get token() {
    return this.#token;
  }

  /** Connect, from `cursor` where there is one. */
  open() {
    this.#enter({ name: "connecting" });
    // Relative to the page, so that a proxy may serve both under a path of its own.
    const address = new URL("ws/dashboard", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    if (this.cursor !== null) address.searchParams.set("since", this.cursor);
    let socket;
    try {
      socket = new WebSocket(address, [PROTOCOL, "bearer", this.#token]);
    } catch {
      this.#enter({ name: "stopped", sentence: "This is no token: it has characters that no token has." });
      return;
    }
    this.#socket = socket;
    socket.addEventListener("message", (event) => socket === this.#socket && this.#receive(event.data));
    socket.addEventListener("close", (event) => socket === this.#socket && this.#lost(event.code));
    this.#wait(TIMING.opening, () => this.#abandon("No answer came"));
  }

  /** Send a message, if there is a connection. Returns whether there was. */
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Cut the connection, and come back after `ms`, as after a real loss: without having said goodbye to anybody. */
  cut(ms) {
    if (this.state.name !== "live" && this.state.name !== "connecting") return;
    this.#drop();
    this.#waiting(ms, "The connection was cut");
  }

  /** Do not wait any longer. */
  reconnect() {
    if (this.state.name === "waiting") this.open();
  }

  #receive(text) {
    this.#heardAt = Date.now();
    const frame = JSON.parse(text);
    const messages = Array.isArray(frame) ? frame : [frame];
    for (const message of messages) {
      if (message.type === "ready") this.#ready();
      else if (message.type === "reconnect") this.#advice = message.data.after_ms;
      else if (message.type === "error") this.#complaint = message.data;
      else if (message.type === "token-expiring") this.#refresh();
    }
    this.#heard(messages, text);
  }

  #ready() {
    this.#complaint = this.#advice = null;
    this.#liveAt = Date.now();
    this.#enter({ name: "live", since: this.#liveAt });
    this.#watch(TIMING.silence);
  }

  /** A connection can die without a word: after a long silence it is asked whether it is there. */
  #watch(patience) {
    this.#wait(patience, () => {
      const silent = Date.now() - this.#heardAt;
      if (silent < TIMING.silence) this.#watch(TIMING.silence - silent);
      else if (patience === TIMING.pong) this.#abandon("The connection had fallen silent");
      else {
        this.send({ type: "ping" });
        this.#watch(TIMING.pong);
      }
    });
  }

  #abandon(sentence) {
    this.#drop();
    this.#waiting(this.#delay(), sentence);
  }

  /** From here on nothing of this socket is listened to, and it need not have closed yet. */
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #lost(code) {
    this.#socket = null;
    const { verdict, sentence } = verdictOf(code);
    const said = this.#complaint?.message;
    if (verdict === "stop") this.#stop(said ?? sentence);
    else if (verdict === "token") this.#ask(said ?? sentence);
    else if (verdict === "later") {
      this.#waiting(postponed((this.#complaint?.retry_after ?? TIMING.later / 1000) * 1000, Math.random()), sentence);
    } else if (this.#advice !== null) this.#waiting(this.#advice, sentence);
    else this.#waiting(this.#delay(), sentence);
  }

  /** A new token in time spares the interruption. Without one the server says when it is over. */
  async #refresh() {
    const token = await this.#renew().catch(() => this.#token);
    if (token === this.#token) return;
    this.#token = token;
    this.send({ type: "auth", token });
  }

  async #ask(sentence) {
    clearTimeout(this.#timer);
    let token = this.#token;
    try {
      token = await this.#renew();
    } catch {
      this.#waiting(this.#delay(), sentence);
      return;
    }
    if (token === this.#token) this.#stop(sentence);
    else {
      this.#token = token;
      this.open();
    }
  }

  #stop(sentence) {
    clearTimeout(this.#timer);
    this.#enter({ name: "stopped", sentence });
  }

  #delay() {
    if (this.#liveAt && Date.now() - this.#liveAt >= TIMING.stable) this.#attempts = 0;
    this.#liveAt = 0;
    return backoff(this.#attempts++, Math.random());
  }

  #waiting(ms, sentence) {
    this.#complaint = this.#advice = null;
    this.#enter({ name: "waiting", until: Date.now() + ms, sentence });
    this.#wait(ms, () => this.open());
  }

  #wait(ms, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #enter(state) {
    this.state = state;
    this.#changed(state);
  }
}
