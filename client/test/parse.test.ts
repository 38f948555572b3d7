/** Frames into messages, and what is no message. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Parsed, parseFrame, parseValue } from "../src/parse.js";
import { dataOf } from "../src/shapes.js";
import { execution, message, ready, updated } from "./support/messages.js";

const reasonOf = (parsed: Parsed | undefined) =>
  parsed && "unreadable" in parsed ? parsed.unreadable.reason : null;

test("a frame holds one message or an array of them, in their order", () => {
  const [one, two] = [updated("1"), updated("2")];
  expect(parseFrame(JSON.stringify(one))).toEqual([{ message: one }]);
  expect(parseFrame(JSON.stringify([one, two]))).toEqual([{ message: one }, { message: two }]);
  expect(parseFrame("[]")).toEqual([]);
});

test("one bad message in an array costs only itself", () => {
  const parsed = parseFrame(JSON.stringify([updated("1"), { type: "nonsense" }, updated("2")]));
  expect(parsed.map((one) => "message" in one)).toEqual([true, false, true]);
});

describe("what is no message is unreadable", () => {
  test.each([
    ["", "not JSON"],
    ["{", "not JSON"],
    ["3", "not an object"],
    ["null", "not an object"],
    ["[[]]", "not an object"],
    ["{}", "without a type"],
    ['{"type":"constructor","timestamp":"","data":{}}', "of a type that is not known"],
    ['{"type":"pong","data":{}}', "without a timestamp"],
    ['{"type":"pong","timestamp":"","id":7,"data":{}}', "with a id that is no text"],
    ['{"type":"pong","timestamp":""}', "with other data"],
    [
      '{"type":"resync","timestamp":"","data":{"reason":"epoch","sources":"all","spread_ms":1}}',
      "with other data",
    ],
  ])("%s: %s", (text, reason) => {
    expect(parseFrame(text).map(reasonOf)).toEqual([reason]);
  });
});

test("what could be understood of an unreadable message is kept: its type and its place", () => {
  const parsed = parseValue({ ...updated("1", {}, { cursor: "c" }), data: { status: 7 } });
  expect(parsed).toEqual({
    unreadable: { reason: "with other data", type: "execution-updated", cursor: "c" },
  });
});

test("a newer server may say more, in members and in words", () => {
  const newer = { ...execution(), region: "eu" };
  expect(reasonOf(parseValue({ ...updated("1"), data: newer, trace: "t" }))).toBeNull();
  const resync = message("resync", { reason: "moon" as "epoch", sources: null, spread_ms: 1 });
  expect(reasonOf(parseValue(resync))).toBeNull();
});

test("a member that may be left out may be null, one that may not be left out may not be missing", () => {
  expect(reasonOf(parseValue({ ...updated("1"), data: { ...execution(), partial: null } }))).toBeNull();
  const { status: _, ...without } = execution();
  expect(reasonOf(parseValue({ ...updated("1"), data: without }))).toBe("with other data");
});

test("a ready with every member is one, and a ready without one of them is not", () => {
  const whole = ready();
  expect(reasonOf(parseValue(whole))).toBeNull();
  for (const member of Object.keys(whole.data)) {
    const data: Record<string, unknown> = { ...whole.data };
    delete data[member];
    expect(reasonOf(parseValue({ ...whole, data })), member).toBe("with other data");
  }
});

test("nothing that can be sent makes the parser throw", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      for (const parsed of parseFrame(text)) expect(Object.keys(parsed)).toHaveLength(1);
    }),
  );
  const type = fc.constantFrom(...Object.keys(dataOf));
  fc.assert(
    fc.property(type, fc.jsonValue(), (type, data) => {
      parseValue({ type, timestamp: "", data });
    }),
  );
});
