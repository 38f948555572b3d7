/**
 * The JSON Schema of an AsyncAPI document, as Pydantic writes it, into TypeScript: the types of the wire, and the shapes that a message is held against
 * when it arrives, so that the types do not lie.
 *
 * Guarantees: the same schema gives the same text. A part of JSON Schema that is not known here is an error, never an
 * `any`: a type that is silently too wide would be believed. Assumes the schema's two habits: a member with a default is
 * left out where it does not apply, never null; and a message is a definition whose `type` is a constant.
 */

/** @typedef {{ [keyword: string]: any }} Schema */

const BANNER =
  "/**\n * Generated from the server's models by `npm run types`. Not to be edited: change changefeed/messages.py.\n *\n";

/** @param {string} ref */
const nameOf = (ref) => ref.slice(ref.lastIndexOf("/") + 1);

/**
 * What a server's AsyncAPI document says of its messages: everything that it sends, everything that it may be sent, and the
 * close code that each error announces.
 * @param {Schema} document
 * @returns {{ server: Schema, client: Schema, errors: Record<string, number> }}
 */
export function schemasOf({ operations, components, "x-errors": errors }) {
  const union = (/** @type {Schema} */ { messages }) => {
    const oneOf = messages.map((/** @type {Schema} */ { $ref }) => components.messages[nameOf($ref)].payload);
    /** @type {Schema} */
    const found = {};
    const collect = (/** @type {unknown} */ node) => {
      if (typeof node !== "object" || node === null) return;
      for (const [keyword, value] of Object.entries(node)) {
        if (keyword !== "$ref") collect(value);
        else if (!Object.hasOwn(found, nameOf(value))) {
          found[nameOf(value)] = components.schemas[nameOf(value)];
          collect(found[nameOf(value)]);
        }
      }
    };
    collect(oneOf);
    // By name, so that the text does not depend on which message comes first.
    const $defs = Object.fromEntries(Object.entries(found).sort(([one], [other]) => (one < other ? -1 : 1)));
    return { oneOf, $defs };
  };
  const closing = errors.filter((/** @type {Schema} */ { closes }) => closes !== null);
  return {
    server: union(operations.receive),
    client: union(operations.send),
    errors: Object.fromEntries(closing.map((/** @type {Schema} */ { code, closes }) => [code, closes])),
  };
}

/** @param {Schema} schema */
const isNull = (schema) => schema.type === "null";

/** @param {Schema} schema @param {Map<string, string>} names @returns {string} */
function typeOf(schema, names) {
  if (schema.$ref) return names.get(nameOf(schema.$ref)) ?? nameOf(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum)
    return schema.enum.map((/** @type {unknown} */ value) => JSON.stringify(value)).join(" | ");
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return [...new Set(either.map((/** @type {Schema} */ one) => typeOf(one, names)))].join(" | ");
  switch (schema.type) {
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "number":
    case "integer":
      return "number";
    case "array":
      return `ReadonlyArray<${typeOf(schema.items, names)}>`;
    case "object":
      return `Readonly<Record<string, ${valueTypeOf(schema, (value) => typeOf(value, names), "unknown")}>>`;
    case undefined:
      if (Object.keys(schema).every((keyword) => ["title", "description", "default"].includes(keyword)))
        return "unknown";
  }
  throw new Error(`this part of JSON Schema is not known to the generator: ${JSON.stringify(schema)}`);
}

/** @param {Schema} schema @returns {unknown} */
function shapeOf(schema) {
  if (schema.$ref) return { of: nameOf(schema.$ref) };
  // Of a constant or an enumeration only the kind is checked: a word that a newer server adds must not cost the message.
  if (schema.const !== undefined) return typeof schema.const;
  const either = schema.anyOf ?? schema.oneOf;
  if (either) {
    const shapes = [
      ...new Map(either.map(shapeOf).map((/** @type {unknown} */ s) => [JSON.stringify(s), s])).values(),
    ];
    return shapes.length === 1 ? shapes[0] : { either: shapes };
  }
  switch (schema.type) {
    case "integer":
      return "number";
    case "array":
      return { list: shapeOf(schema.items) };
    case "object":
      return { record: valueTypeOf(schema, shapeOf, "any") };
    case undefined:
      return "any";
    default:
      return schema.type;
  }
}

/** @template T @param {Schema} schema @param {(value: Schema) => T} of @param {T} anything */
function valueTypeOf(schema, of, anything) {
  const value = schema.additionalProperties;
  return value === undefined || value === true ? anything : of(value);
}

/** @param {Schema} definition @returns {[string, Schema, boolean][]} name, schema without null where it is optional, required */
function membersOf(definition) {
  const required = new Set(definition.required ?? []);
  return Object.entries(definition.properties ?? {}).map(([name, schema]) => {
    const needed = required.has(name) || schema.const !== undefined;
    if (needed || schema.default !== null || !schema.anyOf) return [name, schema, needed];
    const given = schema.anyOf.filter((/** @type {Schema} */ one) => !isNull(one));
    return [name, given.length === 1 ? given[0] : { anyOf: given }, false];
  });
}

/** @param {string} name @param {Schema} definition @param {Map<string, string>} names */
function interfaceOf(name, definition, names) {
  const lines = membersOf(definition).map(([member, schema, needed]) => {
    const note = schema.description ? `  /** ${schema.description} */\n` : "";
    return `${note}  readonly ${member}${needed ? "" : "?"}: ${typeOf(schema, names)};`;
  });
  const note = definition.description ? `/** ${definition.description.split("\n")[0]} */\n` : "";
  if (!lines.length)
    return `${note}export type ${names.get(name) ?? name} = Readonly<Record<string, never>>;\n`;
  return `${note}export interface ${names.get(name) ?? name} {\n${lines.join("\n")}\n}\n`;
}

/** What every message has beside its type and its data. */
const ENVELOPE = ["timestamp", "user_id?", "id?", "cursor?"];

/** @param {Schema} union @returns {{ name: string, type: string, data: Schema }[]} the messages of a server, in order */
function messagesOf({ oneOf, $defs }) {
  return oneOf.map((/** @type {Schema} */ one) => {
    const name = nameOf(one.$ref);
    const members = membersOf($defs[name]);
    const shown = members.map(([member, , needed]) => (needed ? member : `${member}?`));
    if (shown.sort().join() !== ["type", "data", ...ENVELOPE].sort().join())
      throw new Error(
        `the message ${name} has other members than ${ENVELOPE.join(", ")}: ${shown.join(", ")}`,
      );
    const { type, data } = $defs[name].properties;
    return { name: `${name}Message`, type: type.const, data };
  });
}

/**
 * The text of messages.ts.
 * @param {{ server: Schema, client: Schema }} schemas of everything a server sends, and of everything a client sends
 */
export function types({ server, client }) {
  const messages = messagesOf(server);
  const asked = client.oneOf.map((/** @type {Schema} */ one) => nameOf(one.$ref));
  const names = new Map(asked.map((/** @type {string} */ name) => [name, `${name}Request`]));
  const sent = new Set(server.oneOf.map((/** @type {Schema} */ one) => nameOf(one.$ref)));
  const payloads = Object.entries({ ...server.$defs, ...client.$defs }).filter(([name]) => !sent.has(name));
  const union = (/** @type {string} */ name, /** @type {string[]} */ members) =>
    `export type ${name} =\n${members.map((member) => `  | ${member}`).join("\n")};\n`;
  return [
    `${BANNER} * Every message on the wire: what a server sends (ServerMessage) and what a client sends (ClientMessage).\n */\n`,
    ...payloads.map(([name, definition]) =>
      definition.type === "object"
        ? interfaceOf(name, definition, names)
        : `export type ${name} = ${typeOf(definition, names)};\n`,
    ),
    `/** What every message has. \`id\` is opaque, to drop repeats by; \`cursor\` is a place to go on from. */
export interface Message<T extends string, D> {
  readonly type: T;
  readonly timestamp: string;
  readonly user_id?: string;
  readonly id?: string;
  readonly cursor?: string;
  readonly data: D;
}
`,
    ...messages.map(
      ({ name, type, data }) => `export type ${name} = Message<"${type}", ${typeOf(data, names)}>;`,
    ),
    "",
    union(
      "ServerMessage",
      messages.map(({ name }) => name),
    ),
    union("ClientMessage", [...names.values()]),
    'export type MessageType = ServerMessage["type"];\n',
    "/** The message of one type. */\nexport type MessageOf<T extends MessageType> = Extract<ServerMessage, { type: T }>;\n",
  ].join("\n");
}

/**
 * The text of shapes.ts.
 * @param {{ server: Schema, errors: Record<string, number> }} schemas and the close code that each error announces
 */
export function shapes({ server, errors }) {
  const sent = new Set(server.oneOf.map((/** @type {Schema} */ one) => nameOf(one.$ref)));
  const members = Object.entries(server.$defs)
    .filter(([name, definition]) => definition.type === "object" && !sent.has(name))
    .map(([name, definition]) => [
      name,
      Object.fromEntries(
        membersOf(definition).map(([member, schema, needed]) => [
          needed ? member : `${member}?`,
          shapeOf(schema),
        ]),
      ),
    ]);
  const data = messagesOf(server).map(({ type, data }) => [type, shapeOf(data)]);
  return [
    `${BANNER} * The shapes that messages are held against when they arrive. A name with a question mark may be left out.\n */\n`,
    'import type { MessageType } from "./messages.js";\nimport type { Shape } from "./shape.js";\n',
    `export const definitions: Readonly<Record<string, Readonly<Record<string, Shape>>>> = ${JSON.stringify(Object.fromEntries(members))};\n`,
    "/** The shape of a message's data, by the message's type. */",
    `export const dataOf: Readonly<Record<MessageType, Shape>> = ${JSON.stringify(Object.fromEntries(data))};\n`,
    "/** The close code that follows an `error`, by its code. */",
    `export const closeCodeOf: Readonly<Record<string, number>> = ${JSON.stringify(errors)};\n`,
  ].join("\n");
}
