/** SPEC.md says what is so: its tables are the code's, and every invariant names tests that exist. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { TIMING, UNREACHABLE_AFTER, VERDICTS } from "../src/policy.js";
import { INTERVAL } from "../src/react/sync.js";
import type { FeedState } from "../src/state.js";
import { LEADS, PHASES } from "./support/leads.js";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const spec = read("SPEC.md");
/** What stands between two marks. */
const between = (begin: string, end: string) => spec.split(begin)[1]?.split(end)[0] ?? "";
/** The cells of the table between two marks, however it is laid out. */
const tableOf = (begin: string) => cellsOf(between(`<!-- ${begin} -->`, "<!-- end -->"));
const cellsOf = (text: string) =>
  text
    .split("\n")
    .filter((line) => line.startsWith("|"))
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

const named = (text: string) => [...text.matchAll(/`([a-z-]+)`/g)].map(([, name]) => String(name));

test("the states, the phases and the events are those that there are", () => {
  const states: Record<FeedState, true> = { connecting: true, live: true, polling: true, offline: true };
  const column = (heading: string) =>
    named(
      cellsOf(between(heading, "\n## "))
        .map(([cell]) => cell)
        .join(),
    );
  expect(column("## What a user is shown\n")).toEqual(Object.keys(states));
  expect(column("## Phases\n")).toEqual(PHASES);
  const events = named(between("## Events\n", "<!-- table"));
  const timers = Object.keys(LEADS).filter((input) => input.endsWith("-due"));
  expect([...events, ...timers].filter((name) => name !== "-due").sort()).toEqual(Object.keys(LEADS).sort());
});

test("the times are those that are kept", () => {
  const phases = Object.fromEntries(
    cellsOf(between("## Phases\n", "\n## ")).map(([name, holds]) => [name, holds]),
  );
  const seconds = (milliseconds: number) => `${milliseconds / 1000} s`;
  expect(phases["`connecting`"]).toContain(`at most ${seconds(TIMING.opening)}`);
  expect(phases["`offline`"]).toContain(seconds(TIMING.largestRetry));
  expect(spec).toContain(`doubles from ${TIMING.firstRetry / 1000} to ${seconds(TIMING.largestRetry)}`);
  expect(spec).toContain(`held for ${seconds(TIMING.stable)}.`);
  expect(spec).toContain(`once in ${INTERVAL} ms at most`);
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
    for (const { file, name } of tests) {
      expect(read(String(file)), String(file)).toContain(`"${name}"`);
      expect(read(String(file)), String(file)).not.toMatch(/\.(skip|todo|only)\(/);
    }
  });
});
