/** Where each input leads, by phase: what SPEC.md prints and the table is held against. */

import type { InputName } from "../../src/signal.js";
import type { PhaseName } from "../../src/state.js";

const S = "stopped";
const C = "connecting";
const L = "live";
const W = "waiting";
const O = "offline";
const P = "suspended";
const R = "refused";

export const PHASES: readonly PhaseName[] = [S, C, L, W, O, P, R];

/** Where an input leads, by phase in the order of PHASES. */
export const LEADS: Readonly<Record<InputName, readonly PhaseName[]>> = {
  //                 stopped connecting live waiting offline suspended refused
  start: /*        */ [C, C, L, W, C, C, C],
  stop: /*         */ [S, S, S, S, S, S, S],
  renew: /*        */ [S, C, L, C, O, P, C],
  subscribe: /*    */ [S, C, L, W, O, P, R],
  ready: /*        */ [S, L, L, W, O, P, R],
  message: /*      */ [S, C, L, W, O, P, R],
  heard: /*        */ [S, C, L, W, O, P, R],
  closed: /*       */ [S, W, W, W, O, P, R],
  "no-token": /*   */ [S, R, R, W, O, P, R],
  "probe-ready": /**/ [S, C, L, W, O, P, R],
  "probe-closed": [S, C, L, W, O, P, R],
  "refresh-failed": [S, C, L, W, O, P, R],
  online: /*       */ [S, C, L, C, C, P, R],
  offline: /*      */ [S, O, O, O, O, P, R],
  visible: /*      */ [S, C, L, C, C, C, R],
  pagehide: /*     */ [S, P, P, P, P, P, R],
  pageshow: /*     */ [S, C, L, C, C, C, R],
  "retry-due": /*  */ [S, C, L, C, C, P, R],
  "opening-due": /**/ [S, W, L, W, O, P, R],
  "silence-due": /**/ [S, C, L, W, O, P, R],
  "stable-due": /* */ [S, C, L, W, O, P, R],
  "probe-due": /*  */ [S, C, L, W, O, P, R],
  "probing-due": /**/ [S, C, L, W, O, P, R],
  "advice-due": /* */ [S, C, L, W, O, P, R],
  "refresh-due": /**/ [S, C, L, W, O, P, R],
};
