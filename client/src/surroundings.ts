/**
 * Surroundings: what the browser says about the network and the page.
 *
 * Outside of a browser there is nothing to be heard, and nothing fails. Guarantees: the function that is returned removes
 * every listener.
 */

import type { Event } from "./signal.js";

type Heard = Extract<Event["type"], "online" | "offline" | "visible" | "pagehide" | "pageshow">;

/** As much of a window as is used. */
export interface View {
  readonly navigator?: { readonly onLine?: boolean };
  readonly document?: {
    readonly visibilityState: string;
    addEventListener(type: string, listener: () => void): void;
    removeEventListener(type: string, listener: () => void): void;
  };
  addEventListener?(type: string, listener: () => void): void;
  removeEventListener?(type: string, listener: () => void): void;
}

export function listenTo(view: View, tell: (what: Heard) => void): () => void {
  const undo: (() => void)[] = [];
  const on = (target: View | NonNullable<View["document"]>, type: string, listener: () => void) => {
    target.addEventListener?.(type, listener);
    undo.push(() => target.removeEventListener?.(type, listener));
  };
  for (const type of ["online", "offline", "pagehide", "pageshow"] as const) on(view, type, () => tell(type));
  const { document } = view;
  if (document) {
    on(document, "visibilitychange", () => {
      if (document.visibilityState === "visible") tell("visible");
    });
    // Chromium thaws a frozen page with this; visibilitychange is not sent reliably then.
    on(document, "resume", () => tell("visible"));
  }
  if (view.navigator?.onLine === false) tell("offline");
  return () => {
    for (const one of undo) one();
  };
}
