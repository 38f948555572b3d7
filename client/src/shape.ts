/**
 * Shape: what a JSON value must look like to be what its type says.
 *
 * Members that are not named are allowed, so that a newer server may say more. A member that may be left out may be null
 * as well. Pure; never throws.
 */

import { definitions } from "./shapes.js";

export type Shape =
  | "any"
  | "string"
  | "number"
  | "boolean"
  | "null"
  | { readonly either: readonly Shape[] }
  | { readonly list: Shape }
  | { readonly record: Shape }
  /** A definition of shapes.ts by its name. */
  | { readonly of: string };

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function fits(value: unknown, shape: Shape): boolean {
  if (shape === "any") return true;
  if (shape === "null") return value === null;
  if (typeof shape === "string") return typeof value === shape;
  if ("either" in shape) return shape.either.some((one) => fits(value, one));
  if ("list" in shape) return Array.isArray(value) && value.every((one) => fits(one, shape.list));
  if (!isRecord(value)) return false;
  if ("record" in shape) return Object.values(value).every((one) => fits(one, shape.record));
  return Object.entries(definitions[shape.of] ?? {}).every(([name, member]) => {
    if (!name.endsWith("?")) return fits(value[name], member);
    const given = value[name.slice(0, -1)];
    return given === undefined || given === null || fits(given, member);
  });
}
