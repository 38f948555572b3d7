/** The login: a token is all that is needed; `make demo` prints some. */

import { setToken } from "./session.js";

export function Login() {
  return (
    <main className="login">
      <h1>Workflows</h1>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const token = new FormData(event.currentTarget).get("token");
          if (typeof token === "string" && token.trim()) setToken(token.trim());
        }}
      >
        <label htmlFor="token">Token</label>
        <input id="token" name="token" autoComplete="off" spellCheck={false} required />
        <button type="submit">Log in</button>
      </form>
    </main>
  );
}
