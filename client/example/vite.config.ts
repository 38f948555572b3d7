/**
 * The example, served beside a changefeed: everything under /api and /ws goes to CHANGEFEED_URL, by default where `make
 * demo` listens. The Host header is handed on, because that is what the server compares the page's origin with.
 */

import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const target = process.env.CHANGEFEED_URL ?? "http://127.0.0.1:8000";
const proxy = { "/api": { target }, "/ws": { target, ws: true } };
const source = (path: string) => fileURLToPath(new URL(`../src/${path}`, import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  plugins: [react()],
  resolve: {
    // The package as it stands here; an application installs it instead.
    alias: [
      { find: "changefeed-client/react", replacement: source("react/index.ts") },
      { find: "changefeed-client", replacement: source("index.ts") },
    ],
  },
  server: { host: "127.0.0.1", proxy },
  preview: { host: "127.0.0.1", proxy },
  build: { emptyOutDir: true },
});
