/** The dashboard: its head with the indicator and the switch, and the panels. */

import { useLogout } from "changefeed-client/react";
import { useSyncExternalStore } from "react";
import { Administration } from "./Administration.js";
import { Executions } from "./Executions.js";
import { Indicator } from "./Indicator.js";
import { rest } from "./rest.js";
import { Statistics } from "./Statistics.js";
import { setToken } from "./session.js";

export function Dashboard({ live, onLive }: { live: boolean; onLive: (live: boolean) => void }) {
  const logout = useLogout();
  const { requests, bytes } = useSyncExternalStore(rest.onUsage, rest.usage);
  return (
    <>
      <header>
        <h1>Workflows</h1>
        <Indicator />
        <label>
          <input
            type="checkbox"
            role="switch"
            aria-checked={live}
            checked={live}
            onChange={(event) => onLive(event.target.checked)}
          />
          Live
        </label>
        <button
          type="button"
          onClick={() => {
            logout();
            setToken(null);
          }}
        >
          Log out
        </button>
      </header>
      <main>
        <Statistics />
        <Executions />
        <Administration />
      </main>
      <footer>
        <output data-requests={requests} data-bytes={bytes}>
          {requests} requests, {Math.round(bytes / 1024)} KiB since this page was opened
        </output>
      </footer>
    </>
  );
}
