/** How a token gets to the server, when it is asked for, and what follows when there is none. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { message } from "./support/messages.js";
import { settle, setUp } from "./support/sockets.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("the address and the token", () => {
  test("the token travels as a subprotocol, and stands in no address", async () => {
    const { feed, newest } = setUp({ getToken: () => "abc.def-_", topics: ["a", "b"], mode: "state" });
    feed.start();
    await settle();
    expect(newest().protocols).toEqual(["changefeed.v1", "bearer", "abc.def-_"]);
    expect(newest().url.href).toBe("wss://example.test/ws/dashboard?topics=a%2Cb&mode=state");
  });

  test("or in the first message, where the application wants it so or the token cannot be a subprotocol", async () => {
    for (const options of [{ carrier: "message" }, { getToken: () => "a/b=" }] as const) {
      const { feed, newest } = setUp(options);
      feed.start();
      await settle();
      expect(newest().protocols).toEqual(["changefeed.v1"]);
      newest().accept();
      expect(newest().sent).toEqual([{ type: "auth", token: expect.any(String) }]);
      feed.stop();
    }
  });

  test("a cursor that is too long for an address goes into the first message as well", async () => {
    const since = "c".repeat(5_000);
    const { feed, newest } = setUp({ since });
    feed.start();
    await settle();
    newest().accept();
    expect(newest().url.href.length).toBeLessThan(100);
    expect(newest().sent).toEqual([{ type: "auth", token: "token-1", since }]);
  });

  test("the application is asked for a token before every connection", async () => {
    let tokens = 0;
    const { feed, join, newest } = setUp({ getToken: async () => `token-${++tokens}` });
    feed.start();
    (await join()).end();
    await vi.advanceTimersByTimeAsync(500);
    expect(newest().protocols.at(-1)).toBe("token-2");
    expect(newest().url.searchParams.get("since")).toBe("cursor-0");
  });

  test("a token that expires is replaced on the open connection", async () => {
    let token = "token-1";
    const { feed, join } = setUp({ getToken: () => token });
    const states: string[] = [];
    feed.start();
    const socket = await join();
    feed.on("change", ({ state }) => states.push(state));
    token = "token-2";
    socket.say(message("token-expiring", { expires_at: "" }));
    await settle();
    expect(socket.sent).toEqual([{ type: "auth", token: "token-2" }]);
    expect(states).toEqual([]);
  });

  test("the same token is not sent again: it would be answered by the same warning; it is asked for later", async () => {
    let token = "token-1";
    const { feed, join } = setUp({ getToken: () => token });
    feed.start();
    const socket = await join();
    socket.say(message("token-expiring", { expires_at: "" }));
    await settle();
    expect(socket.sent).toEqual([]);
    token = "token-2";
    await vi.advanceTimersByTimeAsync(5_000);
    expect(socket.sent).toEqual([{ type: "auth", token: "token-2" }]);
  });

  test("an application that has no other token than the refused one has to log in", async () => {
    const { feed, join } = setUp();
    const refused = vi.fn();
    feed.on("refused", refused);
    feed.start();
    (await join()).end(4401, "token-revoked");
    await settle();
    expect(refused).toHaveBeenCalledWith(expect.objectContaining({ code: 4401 }));
    expect(feed.getSnapshot()).toMatchObject({ state: "offline", refusal: { code: 4401 } });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("one that has another is connected with it at once, and renew() begins again after a refusal", async () => {
    let token = "token-1";
    const { feed, join, newest } = setUp({ getToken: () => token });
    feed.start();
    const first = await join();
    token = "token-2";
    first.end(4401);
    await settle();
    expect(newest().protocols.at(-1)).toBe("token-2");
    newest().accept().end(4401);
    expect(feed.getSnapshot().refusal?.code).toBe(4401);
    token = "token-3";
    feed.renew();
    await join();
    expect(feed.getSnapshot().state).toBe("live");
  });

  test("no token at all is a refusal, a token that cannot be had just now is not", async () => {
    const answers = [new Error("503"), null];
    const { feed, sockets, logged } = setUp({
      getToken: async () => {
        const answer = answers.shift() ?? null;
        if (answer) throw answer;
        return answer;
      },
    });
    feed.start();
    await settle();
    expect(feed.getSnapshot()).toMatchObject({ state: "connecting", refusal: null });
    await vi.advanceTimersByTimeAsync(500);
    expect(feed.getSnapshot()).toMatchObject({ state: "offline", refusal: { code: 4401 } });
    expect(sockets).toEqual([]);
    expect(logged).toHaveLength(1);
  });

  test("an application that does not answer is not taken for a server that does not", async () => {
    let asked = 0;
    const { feed, newest } = setUp({
      transports: ["websocket", "sse"],
      getToken: () => (++asked <= 3 ? new Promise<string>(() => {}) : "token-1"),
    });
    feed.start();
    for (let n = 0; n < 3; n++) {
      await vi.advanceTimersByTimeAsync(8_000);
      await vi.advanceTimersByTimeAsync(500 * 2 ** n);
    }
    expect(asked).toBe(4);
    expect(newest().protocols).toContain("token-1");
    feed.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});
