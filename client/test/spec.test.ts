/** SPEC.md says what is so: its tables are the code's, and every invariant names tests that exist. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { UNREACHABLE_AFTER, VERDICTS } from "../src/policy.js";
import { LEADS, PHASES } from "./support/leads.js";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const spec = read("SPEC.md");
/** The cells of the table between two marks, however it is laid out. */
const tableOf = (begin: string) =>
  (spec.split(`<!-- ${begin} -->`)[1]?.split("<!-- end -->")[0] ?? "")
    .trim()
    .split("\n")
    .filter((line) => !line.startsWith("|--") && !line.startsWith("| --"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );

test("the table of phases and inputs is the one that the machine is held against", () => {
  const rows = Object.entries(LEADS).map(([input, leads]) => [
    `\`${input}\``,
    ...leads.map((phase, column) => (phase === PHASES[column] ? "·" : phase)),
  ]);
  expect(tableOf("table: src/machine.ts")).toEqual([["", ...PHASES], ...rows]);
});

test("the table of close codes is the one that is used", () => {
  const rows = Object.entries(VERDICTS).map(([code, verdict]) => [code, `\`${verdict}\``]);
  expect(tableOf("codes: src/policy.ts")).toEqual([["code", "then"], ...rows]);
});

test("three attempts are three", () => {
  expect(UNREACHABLE_AFTER).toBe(3);
});

describe("invariants", () => {
  const invariants = [...spec.matchAll(/^(\d+)\. (.*)$/gm)].map(([, number, text]) => ({
    number: Number(number),
    tests: [...(text ?? "").matchAll(/`(test\/[\w/.]+)`: "([^"]+)"/g)].map(([, file, name]) => ({
      file,
      name,
    })),
  }));

  test("are numbered, one after the other", () => {
    expect(invariants.map(({ number }) => number)).toEqual(invariants.map((_, n) => n + 1));
    expect(invariants.length).toBeGreaterThan(20);
  });

  test.each(invariants)("$number names tests that exist", ({ tests }) => {
    expect(tests.length).toBeGreaterThan(0);
    for (const { file, name } of tests) expect(read(String(file)), String(file)).toContain(`"${name}"`);
  });
});
