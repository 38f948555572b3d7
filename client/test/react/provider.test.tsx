// @vitest-environment jsdom
/** The provider and the hooks, in React's own hands: StrictMode, polling, logging out. */

import { QueryClient, QueryClientProvider, useQuery } from "@tanstack/react-query";
import { act, cleanup, render } from "@testing-library/react";
import { type ReactNode, StrictMode } from "react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  ChangefeedProvider,
  type ChangefeedProviderProps,
  type Rules,
  useChangefeed,
  useChangefeedEvent,
  useLogout,
  usePolling,
} from "../../src/react/index.js";
import { message, updated } from "../support/messages.js";
import { setUp } from "../support/sockets.js";

const RULES: Rules = { events: { "execution-updated": [["executions"]] } };

beforeEach(() => {
  vi.useFakeTimers();
  // What React's act() looks for.
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const pass = (milliseconds = 0) => act(() => vi.advanceTimersByTimeAsync(milliseconds));

let fetches: number;
let logout: () => void;
let heard: (string | undefined)[];

function Dashboard() {
  const { state, isConnected } = useChangefeed();
  const { data } = useQuery({
    queryKey: ["executions"],
    queryFn: () => ++fetches,
    refetchInterval: usePolling(30_000),
  });
  logout = useLogout();
  useChangefeedEvent("execution-updated", ({ id }) => heard.push(id));
  return (
    <p>
      {state} {String(isConnected)} {data ?? "nothing"}
    </p>
  );
}

function mount(props: Partial<ChangefeedProviderProps> = {}, wrap = (page: ReactNode) => page) {
  fetches = 0;
  heard = [];
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: 60_000, retry: false } } });
  const parts = setUp();
  const page = (more: Partial<ChangefeedProviderProps> = {}) =>
    wrap(
      <QueryClientProvider client={client}>
        <ChangefeedProvider feed={parts.feed} rules={RULES} {...props} {...more}>
          <Dashboard />
        </ChangefeedProvider>
      </QueryClientProvider>,
    );
  const view = render(page());
  const join = async (...args: Parameters<typeof parts.join>) => {
    let socket = parts.sockets.at(-1);
    await act(async () => {
      socket = await parts.join(...args);
    });
    await pass();
    return socket as NonNullable<typeof socket>;
  };
  return {
    ...parts,
    client,
    join,
    text: () => view.container.textContent?.split(" ") ?? [],
    change: (more: Partial<ChangefeedProviderProps>) => view.rerender(page(more)),
    unmount: view.unmount,
  };
}

describe("state and polling", () => {
  test("the state is shown, and polling goes on only while it is not live", async () => {
    const { join, text } = mount();
    await pass();
    expect(text()).toEqual(["connecting", "false", "1"]);
    await pass(30_000);
    expect(fetches).toBe(2);
    const socket = await join();
    expect(text().slice(0, 2)).toEqual(["live", "true"]);
    // What was fetched before it was live is fetched once more.
    await pass(1_000);
    const before = fetches;
    for (let n = 0; n < 10; n++) {
      await pass(30_000);
      act(() => void socket.say(message("heartbeat", {})));
    }
    expect(fetches).toBe(before);
    act(() => socket.end());
    await pass(30_000);
    expect(fetches).toBe(before + 1);
    expect(text()[1]).toBe("false");
  });

  test("while both are compared, polling goes on beside it, and can be switched off", async () => {
    const { join, change, text } = mount({ polling: "always" });
    await join();
    await pass(1_000);
    const before = fetches;
    await pass(30_000);
    expect(text()[0]).toBe("live");
    expect(fetches).toBe(before + 1);
    change({ polling: "fallback" });
    await pass(30_000);
    expect(fetches).toBe(before + 1);
  });

  test("a message fetches what its rule names, and handlers hear it", async () => {
    const { join } = mount();
    const socket = await join();
    await pass(1_000);
    const before = fetches;
    act(() => void socket.say(updated("1")));
    await pass(10);
    expect(fetches).toBe(before + 1);
    expect(heard).toEqual(["1"]);
  });

  test("switched off it polls, without a connection; switched on again it goes on where it was", async () => {
    const { join, change, sockets, text, newest } = mount();
    await join();
    change({ enabled: false });
    await pass(10);
    expect(text().slice(0, 2)).toEqual(["polling", "false"]);
    expect(sockets.every(({ left }) => left)).toBe(true);
    const before = fetches;
    await pass(60_000);
    expect(fetches).toBe(before + 2);
    change({ enabled: true });
    await pass();
    expect(newest().url.searchParams.get("since")).toBe("cursor-0");
    await join({ outcome: "fresh" });
    expect(text()[0]).toBe("live");
  });

  test("without a provider it says what to do", () => {
    // React says so as well, which is not to be taken for a surprise.
    const said = vi.spyOn(globalThis.console, "error").mockImplementation(() => {});
    expect(() => render(<Dashboard />)).toThrow(/<ChangefeedProvider>/);
    said.mockClear();
  });
});

describe("StrictMode", () => {
  test("opens one connection, and follows it once", async () => {
    const { join, sockets, unmount } = mount({}, (page) => <StrictMode>{page}</StrictMode>);
    const socket = await join();
    expect(sockets).toHaveLength(1);
    await pass(1_000);
    const before = fetches;
    act(() => void socket.say(updated("1")));
    await pass(10);
    expect(fetches).toBe(before + 1);
    expect(heard).toEqual(["1"]);
    unmount();
    await pass(10);
    expect(socket.left).toBe(true);
  });
});

describe("logging out", () => {
  test("closes the connection, and clears the cursor and the cache", async () => {
    const { join, client, feed, sockets } = mount();
    await join();
    client.setQueryData(["profile"], "ada");
    client.setQueryData(["executions"], "ada's");
    act(() => logout());
    expect(sockets.every(({ left }) => left)).toBe(true);
    expect(feed.cursor).toBeNull();
    expect(client.getQueryData(["profile"])).toBeUndefined();
    await pass(60_000);
    // What is still mounted has asked again; nothing is left of what it showed.
    expect(client.getQueryData(["executions"])).not.toBe("ada's");
    expect(sockets).toHaveLength(1);
  });

  test("also where the application says so by its user, and the next one starts from nothing", async () => {
    const { join, client, change, feed, sockets, newest, text } = mount({ user: "ada" });
    await join();
    client.setQueryData(["profile"], "ada");
    change({ user: null });
    await pass(10);
    expect(sockets.every(({ left }) => left)).toBe(true);
    expect(feed.cursor).toBeNull();
    expect(client.getQueryData(["profile"])).toBeUndefined();
    expect(text()[0]).toBe("offline");
    change({ user: "bob" });
    await pass(10);
    expect(newest().url.searchParams.get("since")).toBeNull();
    await join({ user_id: "bob" });
    expect(text()[0]).toBe("live");
  });

  test("one user after the other gets a connection of his own, and sees nothing of the other", async () => {
    const { join, client, change, sockets } = mount({ user: "ada" });
    await join();
    client.setQueryData(["profile"], "ada");
    change({ user: "bob" });
    await pass(10);
    await join({ user_id: "bob" });
    expect(client.getQueryData(["profile"])).toBeUndefined();
    expect(sockets.map(({ left }) => left)).toEqual([true, false]);
  });
});

describe("a failed authentication", () => {
  test.each([4401, 4403])("is reported (%d), so that the application can go to its login", async (code) => {
    const onAuthFailed = vi.fn();
    const { join, text } = mount({ onAuthFailed });
    const socket = await join();
    act(() => socket.end(code));
    await pass();
    expect(onAuthFailed).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code }));
    expect(text()[0]).toBe("offline");
  });

  test("is nothing that a misunderstanding is taken for", async () => {
    const onAuthFailed = vi.fn();
    const { join } = mount({ onAuthFailed });
    const socket = await join();
    act(() => socket.end(4400));
    await pass();
    expect(onAuthFailed).not.toHaveBeenCalled();
  });
});
