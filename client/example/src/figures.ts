/** Figures as people read them. What is not known is a dash. */

const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const share = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const bytes = new Intl.NumberFormat(undefined, { style: "unit", unit: "megabyte", maximumFractionDigits: 0 });

export const dash = "–";

export const count = (value: number | null | undefined) => (value == null ? dash : number.format(value));
export const percent = (value: number | null | undefined) => (value == null ? dash : share.format(value));
export const seconds = (value: number | null | undefined) =>
  value == null ? dash : `${number.format(value)} s`;
export const megabytes = (value: number | null | undefined) =>
  value == null ? dash : bytes.format(value / 1_000_000);
/** Money comes as a decimal text, and stays one: a float would make cents up. */
export const money = (value: string | null | undefined) => (value == null ? dash : `$${value}`);
export const time = (value: string | null | undefined) =>
  value == null ? dash : new Date(value).toLocaleTimeString();
