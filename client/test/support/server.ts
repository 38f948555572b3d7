/**
 * A server of the protocol, small and in this process: one log, three transports, and every way to fail that a test needs.
 *
 * A place in its log is `epoch:number`. It knows nothing of owners, and believes every token but the ones that are named.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import type { ServerMessage } from "../../src/messages.js";
import { ready } from "./messages.js";

export class TestServer {
  /** Transports that are not there: a proxy in between blocks them. */
  readonly blocked = new Set<"websocket" | "sse" | "poll">();
  readonly refusedTokens = new Set<string>();
  readonly log: ServerMessage[] = [];
  /** Every request, as `transport token since`. */
  readonly requests: string[] = [];
  /** Frames that clients sent. */
  readonly heard: unknown[] = [];
  port = 0;
  #epoch = 1;
  #server: Server | null = null;
  readonly #sockets = new Set<Socket>();
  readonly #webSockets = new Set<WebSocket>();
  readonly #streams = new Set<ServerResponse>();
  readonly #polls = new Set<() => void>();

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<this> {
    const webSockets = new WebSocketServer({ noServer: true, handleProtocols: () => "changefeed.v1" });
    const server = createServer((request, response) => this.#answer(request, response));
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.on("upgrade", (request, socket, head) => {
      if (this.blocked.has("websocket")) {
        socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
        return;
      }
      webSockets.handleUpgrade(request, socket, head, (webSocket) => this.#serve(webSocket, request));
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, "127.0.0.1", resolve));
    this.port = (server.address() as AddressInfo).port;
    return this;
  }

  /** As SIGKILL does it: no word, no close frame. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    this.#webSockets.clear();
    this.#streams.clear();
    this.#polls.clear();
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  /** What came before can no longer be replayed. */
  forget(): void {
    this.#epoch++;
    this.log.length = 0;
  }

  say(message: ServerMessage): void {
    this.log.push(message);
    const placed = this.#since(this.log.length - 1);
    for (const socket of this.#webSockets) socket.send(JSON.stringify(placed));
    for (const stream of this.#streams) for (const one of placed) stream.write(block(one));
    for (const go of [...this.#polls]) go();
  }

  /** As after 20 s without a message, where a stream has nothing to say but its place. */
  beat(): void {
    for (const stream of this.#streams) stream.write(`: \nid: ${this.#place}\n\n`);
  }

  /** Closes every WebSocket politely. */
  close(code: number, reason = ""): void {
    for (const socket of this.#webSockets) socket.close(code, reason);
  }

  /** To every WebSocket, as it stands. */
  frame(text: string): void {
    for (const socket of this.#webSockets) socket.send(text);
  }

  get clients(): number {
    return this.#webSockets.size + this.#streams.size + this.#polls.size;
  }

  get #place(): string {
    return `${this.#epoch}:${this.log.length}`;
  }

  #since(from: number): ServerMessage[] {
    const messages = this.log.slice(from);
    return messages.map((message, n) =>
      n === messages.length - 1 ? { ...message, cursor: this.#place } : message,
    );
  }

  /** `ready`, and what was missed. */
  #greeting(since: string | null): ServerMessage[] {
    if (since === null) return [ready({ outcome: "fresh" }, this.#place)];
    const [epoch, place] = since.split(":").map(Number);
    if (epoch !== this.#epoch) return [ready({ outcome: "resync" }, this.#place)];
    const missed = this.#since(place ?? 0);
    return missed.length
      ? [ready({ outcome: "replayed" }, since), ...missed]
      : [ready({ outcome: "fresh" }, this.#place)];
  }

  #serve(socket: WebSocket, request: IncomingMessage): void {
    const { since } = parameters(request);
    const offered = (request.headers["sec-websocket-protocol"] ?? "").split(/, */);
    const begin = (token: string, from: string | null) => {
      this.requests.push(`websocket ${token} ${from}`);
      if (this.refusedTokens.has(token)) return socket.close(4401, "token-key");
      this.#webSockets.add(socket);
      for (const message of this.#greeting(from)) socket.send(JSON.stringify(message));
    };
    let known = offered.length > 1;
    socket.on("close", () => this.#webSockets.delete(socket));
    socket.on("message", (data) => {
      const message = JSON.parse(String(data)) as { type: string; token: string; since?: string };
      this.heard.push(message);
      if (!known && message.type === "auth") {
        known = true;
        begin(message.token, message.since ?? since);
      } else if (message.type === "ping") {
        socket.send(JSON.stringify({ type: "pong", timestamp: "", data: {} }));
      }
    });
    if (known) begin(offered[2] ?? "", since);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { path, since, wait } = parameters(request);
    const token = (request.headers.authorization ?? "").replace("Bearer ", "");
    const transport = path === "/api/v1/events" ? "sse" : path === "/api/v1/changes" ? "poll" : null;
    if (!transport || this.blocked.has(transport)) return void response.writeHead(404).end("<html>");
    this.requests.push(`${transport} ${token} ${since}`);
    if (this.refusedTokens.has(token)) {
      response.writeHead(401, { "Content-Type": "application/problem+json" });
      response.end(JSON.stringify({ code: "token-key", detail: "no" }));
    } else if (transport === "sse") {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write("retry: 2000\n\n");
      for (const message of this.#greeting(since)) response.write(block(message));
      this.#streams.add(response);
      response.on("close", () => this.#streams.delete(response));
    } else {
      this.#poll(response, since, wait);
    }
  }

  #poll(response: ServerResponse, since: string | null, wait: number): void {
    const answer = () => {
      this.#polls.delete(answer);
      clearTimeout(timer);
      const messages = this.#greeting(since);
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify({ messages, cursor: this.#place }));
    };
    const timer = setTimeout(answer, wait * 1000);
    response.on("close", () => {
      this.#polls.delete(answer);
      clearTimeout(timer);
    });
    if (since === null || this.#greeting(since).length > 1) answer();
    else this.#polls.add(answer);
  }
}

function parameters(request: IncomingMessage) {
  const { pathname, searchParams } = new URL(request.url ?? "", "http://localhost");
  return { path: pathname, since: searchParams.get("since"), wait: Number(searchParams.get("wait") ?? 0) };
}

function block(message: ServerMessage): string {
  const id = message.cursor === undefined ? "" : `id: ${message.cursor}\n`;
  return `event: ${message.type}\n${id}data: ${JSON.stringify(message)}\n\n`;
}
