/**
 * The example, beside a changefeed: everything under /api and /ws goes to CHANGEFEED_URL, by default where `make demo`
 * listens. The Host header is handed on, because that is what the server compares the page's origin with.
 *
 * What is built holds the package as it is published (`dist`, by its `exports`); what is being worked on holds its sources.
 */

import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import manifest from "../package.json" with { type: "json" };

const target = process.env.CHANGEFEED_URL ?? "http://127.0.0.1:8000";
const proxy = { "/api": { target }, "/ws": { target, ws: true } };
const file = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

export default defineConfig(({ command }) => ({
  root: fileURLToPath(new URL(".", import.meta.url)),
  plugins: [react()],
  resolve: {
    // An application installs the package instead.
    alias: [
      {
        find: "changefeed-client/react",
        replacement: file(command === "build" ? manifest.exports["./react"].default : "src/react/index.ts"),
      },
      {
        find: "changefeed-client",
        replacement: file(command === "build" ? manifest.exports["."].default : "src/index.ts"),
      },
    ],
  },
  server: { host: "127.0.0.1", proxy },
  preview: { host: "127.0.0.1", proxy },
  build: { emptyOutDir: true },
}));
