/** Numbers, times and ids as people read them. Pure. */

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const money = new Intl.NumberFormat("en", { style: "currency", currency: "USD", minimumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const NOTHING = "–";

/** A number and its unit stay on one line. */
const GAP = "\u00a0";

export const count = (number) => (Number.isFinite(number) ? whole.format(number) : NOTHING);

export const compact = (number) =>
  Number.isFinite(number) ? (number < 10_000 ? whole : short).format(number) : NOTHING;

/** Money comes as a decimal text, because a binary number could not hold it. For the eye, one is close enough. */
export const dollars = (text) => (text === null || text === undefined ? NOTHING : money.format(Number(text)));

export const percent = (share) => (Number.isFinite(share) ? hundredths(share * 100) : NOTHING);

export const hundredths = (number) => `${Math.round(number)}${GAP}%`;

/** Milliseconds. */
export function duration(ms) {
  if (!Number.isFinite(ms)) return NOTHING;
  if (ms < 1000) return `${Math.round(ms)}${GAP}ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)}${GAP}s`;
  return `${Math.round(ms / 60_000)}${GAP}min`;
}

export const seconds = (ms) => `${Math.max(0, Math.round(ms / 1000))}${GAP}s`;

export function bytes(number) {
  if (!Number.isFinite(number)) return NOTHING;
  if (number < 1000) return `${number}${GAP}B`;
  if (number < 1_000_000) return `${Math.round(number / 1000)}${GAP}kB`;
  return number < 1e9 ? `${(number / 1e6).toFixed(1)}${GAP}MB` : `${(number / 1e9).toFixed(1)}${GAP}GB`;
}

/** The end of an id: enough to tell rows apart, and what differs in ids that were made by hand. */
export const brief = (id) => (id === null || id === undefined ? NOTHING : String(id).slice(-8));

/** What a connection's state is called. */
export const stateName = (name) => ({ idle: "loading", waiting: "offline" })[name] ?? name;

export const time = (ms) => clock.format(ms);

/** To the millisecond. */
export const moment = (ms) => `${clock.format(ms)}.${String(Math.floor(ms) % 1000).padStart(3, "0")}`;

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
