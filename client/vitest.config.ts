import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.{ts,tsx}"],
    // React's own warnings are failures: an update outside act(), a list without keys.
    setupFiles: ["test/support/setup.ts"],
    testTimeout: 20_000,
  },
});
