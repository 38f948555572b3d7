/**
 * Session: who is logged in. A real application has its own; here a token is pasted, or comes behind the `#` of the address,
 * which no server sees.
 */

import { useSyncExternalStore } from "react";

const KEY = "token";
const listeners = new Set<() => void>();

function begin(): void {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname + location.search);
}

begin();

export function currentToken(): string | null {
  return sessionStorage.getItem(KEY);
}

export function setToken(token: string | null): void {
  if (token === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
  for (const listener of listeners) listener();
}

export function onToken(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useToken(): string | null {
  return useSyncExternalStore(onToken, currentToken);
}

/** The user that a token names; for display and for nothing else, because nobody has checked it. */
export function userOf(token: string): string {
  return String(claimsOf(token).sub ?? token);
}

/** Whether it is an administrator's: what is worth asking for, not what is allowed, which the server knows. */
export function isAdministrator(token: string): boolean {
  return claimsOf(token).role === "admin";
}

function claimsOf(token: string): { readonly sub?: unknown; readonly role?: unknown } {
  try {
    const payload = token.split(".")[1] ?? "";
    return JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))) ?? {};
  } catch {
    return {};
  }
}
