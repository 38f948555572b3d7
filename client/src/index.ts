/**
 * changefeed-client: live changes, by WebSocket, server-sent events or polling, behind one state and one cursor.
 *
 *     const feed = new Changefeed({ url: "https://api.example.com", getToken });
 *     feed.on("message", (message) => { ... });
 *     feed.start();
 *
 * Everything public of the core is named here; `changefeed-client/react` has the hooks. SPEC.md says what it does when.
 */

export { Changefeed } from "./changefeed.js";
export type { Feed, FeedEvents } from "./feed.js";
export type { Log } from "./log.js";
export type * from "./messages.js";
export type { ChangefeedOptions } from "./options.js";
export type { Unreadable } from "./parse.js";
export { SharedChangefeed, type SharedOptions } from "./shared.js";
export type { Joined, Resync } from "./signal.js";
export type { FeedState, Refusal, Snapshot, Transport } from "./state.js";
export type { View } from "./surroundings.js";
export type { Platform, Socket, Wishes } from "./transport.js";
export type { Carrier } from "./transports/websocket.js";
