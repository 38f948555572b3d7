/** The parser of text/event-stream. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { type Block, EventStream } from "../src/eventstream.js";

const parse = (...pieces: string[]): Block[] => {
  const stream = new EventStream();
  return pieces.flatMap((piece) => stream.push(piece));
};

test("a block has an event, data and an id", () => {
  expect(parse("event: ready\nid: c1\ndata: {}\n\n")).toEqual([{ event: "ready", data: "{}", id: "c1" }]);
});

test("several lines of data are one text, and one space after the colon is not part of it", () => {
  expect(parse("data: a\ndata:  b\ndata\n\n")).toEqual([{ event: "message", data: "a\n b\n", id: null }]);
});

test("comments, unknown fields and `retry` are nothing", () => {
  expect(parse(": hello\n\nretry: 5\nfoo: bar\n\ndata: x\n\n")).toEqual([
    { event: "message", data: "x", id: null },
  ]);
});

test("a block with an id and no data is handed on: a quiet stream keeps its place", () => {
  expect(parse(": \nid: c9\n\n")).toEqual([{ event: "message", data: null, id: "c9" }]);
});

test("an id with NUL in it is ignored, and an id holds for its own block only", () => {
  expect(parse("id: a\0b\ndata: x\n\n")).toEqual([{ event: "message", data: "x", id: null }]);
  expect(parse("id: a\ndata: x\n\ndata: y\n\n").map(({ id }) => id)).toEqual(["a", null]);
});

test("a byte order mark at the very beginning is no part of the first field", () => {
  expect(parse("\uFEFFdata: x\n\n")).toHaveLength(1);
  expect(parse("", "\uFEFFdata: x\n\n")).toHaveLength(1);
});

test("a block that is not finished is not handed on", () => {
  expect(parse("data: x\n")).toEqual([]);
});

test("it makes no difference how the text is cut into pieces, nor which line ends it has", () => {
  const line = fc.constantFrom("data: x", "data:y", "id: c", "event: e", ": hi", "", "", "data", "id");
  const ends = fc.constantFrom("\n", "\r\n", "\r");
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 20 }),
      ends,
      fc.infiniteStream(fc.integer({ min: 1, max: 5 })),
      (lines, end, sizes) => {
        const text = lines.map((one) => one + end).join("");
        const pieces: string[] = [];
        for (let at = 0; at < text.length; ) {
          const size = sizes.next().value as number;
          pieces.push(text.slice(at, at + size));
          at += size;
        }
        const whole = lines.map((one) => `${one}\n`).join("");
        expect(parse(...pieces)).toEqual(parse(whole));
      },
    ),
  );
});
