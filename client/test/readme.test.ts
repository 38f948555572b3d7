/** README.md says what works: its code compiles as it stands, against what the package exports. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const readme = readFileSync(`${ROOT}README.md`, "utf8");
const blocks = (language: string) =>
  [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, one]) => one === language)
    .map(([, , code]) => code);

/** What the application around it has. */
const AROUND = `
declare const auth: { token(): Promise<string>; userId(): string };
declare const user: { id: string } | undefined;
declare const navigate: (to: string) => void;
declare const queryFn: () => Promise<unknown>;
`;
/** A component has what stands in a component's place. */
const component = (code: string) => {
  const [provider = "", ...rest] = code.trim().split("\n\n");
  return `
import { useQuery } from "@tanstack/react-query";
import { ChangefeedProvider, useChangefeed, usePolling } from "changefeed-client/react";
import { feed, rules } from "./live.js";
${AROUND}
export function Page() {
  return ${provider}<Dashboard /></ChangefeedProvider>;
}
function Dashboard() {
  ${rest.join("\n")}
  return <p>{state} {String(isConnected)}</p>;
}
`;
};
/** The options and calls that are named in passing. */
const SAID = `
import { Changefeed, SharedChangefeed } from "changefeed-client";
import { CacheSync } from "changefeed-client/react";
import { QueryClient } from "@tanstack/react-query";
import { feed, rules } from "./live.js";
${AROUND}
const getToken = () => auth.token();
export const shared = new SharedChangefeed({ name: () => auth.userId(), getToken });
export const named = new SharedChangefeed({ name: "ada", getToken });
export const other = new Changefeed({ getToken, carrier: "message", since: "cursor", topics: ["executions"], mode: "state", minInterval: 1_000 });
export const node = new Changefeed({ url: "http://127.0.0.1", getToken, platform: { WebSocket } });
feed.subscribe({ topics: ["executions"], minInterval: 500 });
feed.on("refused", ({ code }) => code);
feed.on("message", (message) => message.type);
feed.on("place", (cursor: string) => cursor);
feed.start();
feed.renew();
feed.stop();
new CacheSync(feed, new QueryClient(), rules).dispose();
`;

test("its code compiles", () => {
  const [live = ""] = blocks("ts");
  const [page = ""] = blocks("tsx");
  expect([blocks("ts").length, blocks("tsx").length]).toEqual([1, 1]);
  // Nowhere but in memory, at a place from where the packages are found.
  const files = new Map([
    [`${ROOT}test/live.ts`, `${live}${AROUND}`],
    [`${ROOT}test/page.tsx`, component(page)],
    [`${ROOT}test/said.ts`, SAID],
  ]);
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    jsx: ts.JsxEmit.ReactJSX,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    paths: {
      "changefeed-client": [`${ROOT}src/index.ts`],
      "changefeed-client/react": [`${ROOT}src/react/index.ts`],
    },
  };
  const host = ts.createCompilerHost(options);
  const disk = { ...host };
  host.fileExists = (path) => files.has(path) || disk.fileExists(path);
  host.readFile = (path) => files.get(path) ?? disk.readFile(path);
  const program = ts.createProgram([...files.keys()], options, host);
  expect(program.getSourceFiles().filter(({ fileName }) => files.has(fileName))).toHaveLength(3);
  const found = ts
    .getPreEmitDiagnostics(program)
    .map(({ file, messageText }) => [
      file?.fileName.replace(ROOT, ""),
      ts.flattenDiagnosticMessageText(messageText, "\n"),
    ]);
  expect(found).toEqual([]);
});

test("what it mentions of the package is there", () => {
  const { scripts, peerDependencies } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8"));
  const named = [...readme.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name);
  expect(named.length).toBeGreaterThan(2);
  const versions = [peerDependencies.react, peerDependencies["@tanstack/react-query"]].map((range) =>
    range.replace(/^\D+/, ""),
  );
  expect(readme).toContain(`React ${versions[0]} and later; TanStack Query 5 from ${versions[1]} on`);
  expect(named.filter((name) => !(String(name) in scripts))).toEqual([]);
});
