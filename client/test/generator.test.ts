/** The generator of the types: what it makes of a schema, and what it refuses. */

import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { shapes, types } from "../scripts/generator.mjs";

const text = { type: "string" };
const optional = { anyOf: [text, { type: "null" }], default: null };

function message(data: object) {
  return {
    type: "object",
    properties: {
      type: { const: "hello", default: "hello" },
      timestamp: text,
      user_id: optional,
      id: optional,
      cursor: optional,
      data,
    },
    required: ["timestamp", "data"],
  };
}

function schemas(payload: object, more: object = {}) {
  return {
    server: {
      oneOf: [{ $ref: "#/$defs/Hello" }],
      $defs: { Hello: message({ $ref: "#/$defs/Greeting" }), Greeting: payload, ...more },
    },
    client: {
      oneOf: [{ $ref: "#/$defs/Ping" }],
      $defs: { Ping: { type: "object", properties: { type: { const: "ping" } }, required: ["type"] } },
    },
    errors: { oops: 4500 },
  };
}

const payload = {
  type: "object",
  properties: {
    who: { anyOf: [text, { type: "null" }] },
    times: { type: "integer" },
    mood: { enum: ["glad", "sad"], type: "string" },
    more: { anyOf: [{ type: "array", items: { $ref: "#/$defs/Gift" } }, { type: "null" }], default: null },
    by_name: { type: "object", additionalProperties: { type: "number" } },
    anything: { type: "object", additionalProperties: true },
  },
  required: ["who", "times", "mood", "by_name", "anything"],
};

test("a payload becomes an interface, a message its type, and what may be left out is never null", () => {
  const code = types(schemas(payload, { Gift: { type: "object", properties: {} } }));
  expect(code).toContain("readonly who: string | null;");
  expect(code).toContain("readonly times: number;");
  expect(code).toContain('readonly mood: "glad" | "sad";');
  expect(code).toContain("readonly more?: ReadonlyArray<Gift>;");
  expect(code).toContain("readonly by_name: Readonly<Record<string, number>>;");
  expect(code).toContain("readonly anything: Readonly<Record<string, unknown>>;");
  expect(code).toContain("export type Gift = Readonly<Record<string, never>>;");
  expect(code).toContain('export type HelloMessage = Message<"hello", Greeting>;');
  expect(code).toContain("export type ClientMessage =\n  | PingRequest;");
});

test("shapes check the kinds of things, not the words, so that a newer server may know more of them", () => {
  const code = shapes(schemas(payload));
  expect(code).toContain('"mood":"string"');
  expect(code).toContain('"who":{"either":["string","null"]}');
  expect(code).toContain('"more?":{"list":{"of":"Gift"}}');
  expect(code).toContain('"hello":{"of":"Greeting"}');
  expect(code).toContain('{"oops":4500}');
});

test("a part of JSON Schema that is not known is an error, never a type that is too wide", () => {
  const odd = { type: "object", properties: { x: { type: "tuple" } }, required: ["x"] };
  expect(() => types(schemas(odd))).toThrow(/not known to the generator/);
});

test("a message with other members than every message has is an error", () => {
  const all = schemas(payload);
  Object.assign(all.server.$defs.Hello.properties, { extra: text });
  expect(() => types(all)).toThrow(/other members/);
});

test("where there is no Python the check is skipped by name, and on CI it fails", () => {
  const run = (environment: Record<string, string>) => {
    try {
      execFileSync(process.execPath, ["scripts/types.mjs", "--check"], {
        cwd: new URL("..", import.meta.url),
        env: { CHANGEFEED_TYPES_ROOT: "/nowhere", ...environment },
        stdio: "pipe",
      });
      return 0;
    } catch (error) {
      return (error as { status: number }).status;
    }
  };
  expect(run({})).toBe(0);
  expect(run({ CHANGEFEED_TEST_REQUIRE: "node" })).toBe(1);
});
