/**
 * Links: the connections that are open or being opened, by their attempt, and the token that they were opened with.
 *
 * Guarantees: the application is asked for a token before every link; a link that was closed says nothing more, also
 * where it was still waiting for its token. What a link says goes to the sink that `sinkOf` gives for its attempt.
 */

import type { ClientMessage } from "./messages.js";
import { type ChangefeedOptions, urlOf } from "./options.js";
import type { Order } from "./signal.js";
import type { Transport } from "./state.js";
import { type Link, type Opening, type Platform, type Sink, textOf, type Wishes } from "./transport.js";
import { openPoll } from "./transports/poll.js";
import { openEventStream } from "./transports/sse.js";
import { openWebSocket } from "./transports/websocket.js";

/** Less than an attempt is given as a whole. */
const TOKEN_PATIENCE = 8_000;

export class Links {
  readonly #open = new Map<number, Link>();
  readonly #options: ChangefeedOptions;
  readonly #platform: Platform;
  readonly #sinkOf: (attempt: number) => Sink;
  #token: string | null = null;

  constructor(options: ChangefeedOptions, platform: Platform, sinkOf: (attempt: number) => Sink) {
    this.#options = options;
    this.#platform = platform;
    this.#sinkOf = sinkOf;
  }

  has(attempt: number): boolean {
    return this.#open.has(attempt);
  }

  open({ attempt, transport, since, another }: Extract<Order, { type: "connect" }>, wishes: Wishes): void {
    const sink = this.#sinkOf(attempt);
    const fail = (error: unknown) => {
      if (present())
        sink.closed({ kind: "token", code: 1006, reason: `no token: ${textOf(error)}`, retryAfter: null });
    };
    // An application that never answers must not look like a server that does not.
    const patience = this.#platform.setTimeout(() => fail("the application did not answer"), TOKEN_PATIENCE);
    const answered = () => this.#platform.clearTimeout(patience);
    // The place is taken at once, so that the attempt can be given up while its token is awaited.
    const place: Link = { send: () => false, close: answered };
    this.#open.set(attempt, place);
    const present = () => this.#open.get(attempt) === place;
    this.#askToken().then((token) => {
      if (!present()) return;
      answered();
      if (!token || (another && token === this.#token)) {
        sink.noToken();
        return;
      }
      this.#token = token;
      const link = this.#link(transport, token, since, wishes, sink);
      // A link that cannot even be tried says so before it is there.
      if (present()) this.#open.set(attempt, link);
      else link.close();
    }, fail);
  }

  send(attempt: number, message: ClientMessage): boolean {
    return this.#open.get(attempt)?.send(message) ?? false;
  }

  /** Sends a token that is not the one in use. False where there is none, or where it cannot be sent. */
  async refresh(attempt: number): Promise<boolean> {
    const token = await this.#askToken();
    // The one in use is about to expire; sending it again would be answered with the same warning.
    if (!token || token === this.#token || !this.send(attempt, { type: "auth", token })) return false;
    this.#token = token;
    return true;
  }

  close(attempt: number): void {
    const link = this.#open.get(attempt);
    this.#open.delete(attempt);
    link?.close();
  }

  closeAll(): void {
    for (const attempt of [...this.#open.keys()]) this.close(attempt);
  }

  forgetToken(): void {
    this.#token = null;
  }

  // Asynchronous, so that an application that throws is one that rejects.
  async #askToken(): Promise<string | null> {
    return this.#options.getToken();
  }

  #link(transport: Transport, token: string, since: string | null, wishes: Wishes, sink: Sink): Link {
    const nextToken = async () => {
      this.#token = await this.#askToken();
      return this.#token;
    };
    const opening: Opening = { url: urlOf(this.#options, transport), token, nextToken, since, wishes, sink };
    switch (transport) {
      case "websocket":
        return openWebSocket(opening, this.#options.carrier ?? "subprotocol", this.#platform);
      case "sse":
        return openEventStream(opening, this.#platform);
      case "poll":
        return openPoll(opening, this.#platform);
    }
  }
}
