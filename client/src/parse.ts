/**
 * A frame, or one JSON value, into messages.
 *
 * Guarantees: never throws. What is not a message of a known type with the data that the type promises is handed back as
 * unreadable, with as much of it as could be understood: a known type whose data is wrong still says that something
 * changed, and a cursor in it is still a place. A frame holds one message, or an array of them.
 */

import type { MessageType, ServerMessage } from "./messages.js";
import { fits, isRecord } from "./shape.js";
import { dataOf } from "./shapes.js";

export interface Unreadable {
  readonly reason: string;
  /** The type, where there was one. */
  readonly type: string | null;
  readonly cursor: string | null;
}

export type Parsed = { readonly message: ServerMessage } | { readonly unreadable: Unreadable };

export function parseFrame(text: string): readonly Parsed[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [unreadable("not JSON")];
  }
  return Array.isArray(value) ? value.map(parseValue) : [parseValue(value)];
}

export function parseValue(value: unknown): Parsed {
  if (!isRecord(value)) return unreadable("not an object");
  if (typeof value.type !== "string") return unreadable("without a type", value);
  if (!Object.hasOwn(dataOf, value.type)) return unreadable("of a type that is not known", value);
  if (typeof value.timestamp !== "string") return unreadable("without a timestamp", value);
  for (const name of ["user_id", "id", "cursor"])
    if (value[name] !== undefined && typeof value[name] !== "string")
      return unreadable(`with a ${name} that is no text`, value);
  if (!fits(value.data, dataOf[value.type as MessageType])) return unreadable("with other data", value);
  // The one assertion of the module: everything that the type says has just been looked at.
  return { message: value as unknown as ServerMessage };
}

function unreadable(reason: string, value: Record<string, unknown> = {}): Parsed {
  const text = (member: unknown) => (typeof member === "string" ? member : null);
  return { unreadable: { reason, type: text(value.type), cursor: text(value.cursor) } };
}
