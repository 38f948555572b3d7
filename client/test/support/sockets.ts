/** A WebSocket whose other end is the test. */

import { Changefeed } from "../../src/changefeed.js";
import type { ServerMessage } from "../../src/messages.js";
import type { ChangefeedOptions } from "../../src/options.js";
import type { View } from "../../src/surroundings.js";
import type { Socket } from "../../src/transport.js";
import { ready } from "./messages.js";

export class FakeSocket implements Socket {
  readyState = 0;
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onerror: Socket["onerror"] = null;
  onclose: Socket["onclose"] = null;
  readonly url: URL;
  readonly protocols: readonly string[];
  readonly sent: unknown[] = [];
  /** Whether our side has closed it. */
  left = false;

  constructor(url: string, protocols: string[]) {
    this.url = new URL(url);
    this.protocols = protocols;
  }

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }

  close(): void {
    this.left = true;
    this.readyState = 3;
  }

  accept(): this {
    this.readyState = 1;
    this.onopen?.({} as never);
    return this;
  }

  say(...messages: readonly (ServerMessage | object)[]): this {
    for (const message of messages) this.frame(JSON.stringify(message));
    return this;
  }

  frame(data: unknown): this {
    this.onmessage?.({ data } as never);
    return this;
  }

  end(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason } as never);
  }
}

/** The sockets that were opened, the newest last, and the class that opens them. */
export function socketry() {
  const sockets: FakeSocket[] = [];
  const Recorded = class extends FakeSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols);
      sockets.push(this);
    }
  };
  return { sockets, WebSocket: Recorded as new (url: string, protocols: string[]) => Socket };
}

/** A page whose events the test causes. */
export class FakeView implements View {
  readonly navigator = { onLine: true };
  readonly #listeners: { type: string; listener: () => void }[] = [];
  readonly document = {
    visibilityState: "visible",
    addEventListener: (type: string, listener: () => void) => this.addEventListener(type, listener),
    removeEventListener: (type: string, listener: () => void) => this.removeEventListener(type, listener),
  };

  addEventListener(type: string, listener: () => void): void {
    this.#listeners.push({ type, listener });
  }

  removeEventListener(type: string, listener: () => void): void {
    const at = this.#listeners.findIndex((one) => one.type === type && one.listener === listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }

  cause(type: string): void {
    for (const one of [...this.#listeners]) if (one.type === type) one.listener();
  }

  get listening(): number {
    return this.#listeners.length;
  }
}

/** A feed on fake sockets and a fake page. Chance is a half, unless it is given. */
export function setUp(options: Partial<ChangefeedOptions> = {}) {
  const { sockets, WebSocket } = socketry();
  const view = new FakeView();
  const logged: unknown[][] = [];
  const feed = new Changefeed({
    url: "https://example.test",
    getToken: () => "token-1",
    transports: ["websocket"],
    view,
    log: (...entry) => logged.push(entry),
    ...options,
    platform: { WebSocket, random: () => 0.5, ...options.platform },
  });
  const newest = (): FakeSocket => {
    const socket = sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    return socket;
  };
  /** Starts, if need be, and becomes live. Needs fake timers to be drained by the caller's `settle`. */
  const join = async (data: Parameters<typeof ready>[0] = {}, cursor: string | null = "cursor-0") => {
    await settle();
    newest().accept().say(ready(data, cursor));
    return newest();
  };
  return { feed, sockets, view, logged, newest, join };
}

/** Lets promises go on that wait for nothing but each other. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}
