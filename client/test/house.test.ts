/** The rules of the house that a machine can check: contracts, sizes, names, layers. */

import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, expect, test } from "vitest";

const ROOT = new URL("../", import.meta.url);
const GENERATED = new Set(["src/messages.ts", "src/shapes.ts"]);
const LONGEST_MODULE = 300;
/** Names that say nothing of what a module is about. */
const EMPTY_NAMES = /^(base|common|helpers?|manager|misc|utils?)\./;
const UNFINISHED = new RegExp(`\\b(${["TODO", "FIXME", "XXX", "HACK"].join("|")})\\b`);

const modules = ["src", "test", "scripts", "example"]
  .flatMap((folder) =>
    readdirSync(new URL(`${folder}/`, ROOT), { recursive: true, encoding: "utf8" }).map(
      (name) => `${folder}/${name}`,
    ),
  )
  .filter((path) => /\.(ts|tsx|mjs)$/.test(path) && !/(^|\/)(dist|node_modules)\//.test(path));
const textOf = (path: string) => readFileSync(new URL(path, ROOT), "utf8");
const importsOf = (path: string) =>
  [...textOf(path).matchAll(/from "([^"]+)"/g)].map(([, name]) => String(name));

test.each(modules)("%s is short, has a contract, and is finished", (path) => {
  const text = textOf(path);
  expect(basename(path)).not.toMatch(EMPTY_NAMES);
  expect(text.replace(/^\/\/ @vitest-environment \w+\n/, "")).toMatch(/^\/\*\*/);
  if (!GENERATED.has(path)) expect(text.split("\n").length - 1).toBeLessThanOrEqual(LONGEST_MODULE);
  if (path !== "test/house.test.ts") expect(text).not.toMatch(UNFINISHED);
});

describe("layers", () => {
  /** Values in, values out: no clock, no chance, no platform. */
  const PURE = [
    "state",
    "signal",
    "policy",
    "step",
    "live",
    "machine",
    "parse",
    "shape",
    "shapes",
    "messages",
    "eventstream",
    "recent",
  ];

  test.each(PURE)("%s is pure", (name) => {
    const path = `src/${name}.ts`;
    for (const imported of importsOf(path)) expect(PURE).toContain(imported.replace(/^\.\/|\.js$/g, ""));
    expect(textOf(path)).not.toMatch(/\b(Date\.now|Math\.random|setTimeout|globalThis|console|fetch\()/);
  });

  test("the core depends on nothing, and the hooks on what they are for", () => {
    for (const path of modules.filter((one) => one.startsWith("src/"))) {
      const outside = importsOf(path).filter((name) => !name.startsWith("."));
      const allowed = path.startsWith("src/react/") ? ["react", "@tanstack/react-query"] : [];
      expect(
        outside.filter((name) => !allowed.includes(name)),
        path,
      ).toEqual([]);
    }
    const core = modules.filter((path) => path.startsWith("src/") && !path.startsWith("src/react/"));
    for (const path of core)
      expect(
        importsOf(path).filter((name) => name.includes("react")),
        path,
      ).toEqual([]);
  });

  test("the package has no dependency at run time", () => {
    expect(JSON.parse(textOf("package.json")).dependencies).toBeUndefined();
  });
});
