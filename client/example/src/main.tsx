/** The application: a login, and behind it the dashboard in its providers. */

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { ChangefeedProvider } from "changefeed-client/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { Dashboard } from "./Dashboard.js";
import { Login } from "./Login.js";
import { feed, rules } from "./live.js";
import { HttpError } from "./rest.js";
import { setToken, userOf, useToken } from "./session.js";
import "./style.css";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 60_000,
      // What is forbidden stays so; everything else may be a server that is being restarted.
      retry: (count, error) => count < 2 && !(error instanceof HttpError && error.status < 500),
    },
  },
});

/** `?mode=`: `polling`, as it was; `both`, to compare them; `live`, with polling where it is not. */
const mode = new URLSearchParams(location.search).get("mode") ?? "live";

function Application() {
  const token = useToken();
  const [live, setLive] = useState(mode !== "polling");
  return (
    <ChangefeedProvider
      feed={feed}
      rules={rules}
      enabled={live}
      polling={mode === "both" ? "always" : "fallback"}
      user={token && userOf(token)}
      onAuthFailed={() => setToken(null)}
    >
      {token ? <Dashboard live={live} onLive={setLive} /> : <Login />}
    </ChangefeedProvider>
  );
}

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <Application />
      </QueryClientProvider>
    </StrictMode>,
  );
