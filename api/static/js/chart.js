/**
 * The chart of the last minute: each change a dot, as high as it took long (on a logarithmic scale, because a restart is a
 * hundred times as long as a usual change), the median as a line, and below it how many changes came each second.
 *
 * Drawn once a second: a chart that scrolls smoothly would compete with what it measures.
 */

import { drawing, setText } from "./element.js";
import { duration } from "./format.js";
import { quantile, Samples } from "./recent.js";

const LEFT = 48;
const TOP = 10;
const FLOOR = 150;
const RATE_TOP = 172;
const RATE_FLOOR = 222;
const HEIGHT = 244;
const DECADES = [1, 10, 100, 1000, 10_000];
const SECONDS = Samples.SPAN / 1000;
const TICKS = [60, 45, 30, 15, 0];

export class Chart {
  #width = 0;
  #dots = new Map();
  #frame = drawing("g");
  #median = drawing("path", { class: "median" });
  #bars = drawing("path", { class: "bars" });
  #most = drawing("text", { class: "tick", x: LEFT - 8, y: RATE_TOP + 4, "text-anchor": "end" });
  #points = drawing("g", { class: "dots" });

  constructor() {
    this.element = drawing(
      "svg",
      { class: "chart", role: "img", "aria-label": "Latency and rate of the last minute" },
      this.#frame,
      this.#most,
      this.#bars,
      this.#points,
      this.#median,
    );
  }

  /** `samples`: of the last minute. */
  render(samples, now) {
    this.#fit(this.element.clientWidth);
    const second = Math.floor(now / 1000) * 1000;
    const series = new Map();
    const perSecond = Array.from({ length: SECONDS }, () => []);
    for (const sample of samples) {
      const ago = now - sample.at;
      const dot = `M${this.#place(ago).toFixed(1)} ${heightOf(sample.painted).toFixed(1)}h0`;
      series.set(sample.series, (series.get(sample.series) ?? "") + dot);
      const bucket = Math.ceil((second - sample.at) / 1000);
      if (bucket >= 0 && bucket < SECONDS) perSecond[bucket].push(sample.painted);
    }
    for (const name of series.keys()) this.#dotsOf(name);
    for (const [name, path] of this.#dots) path.setAttribute("d", series.get(name) ?? "");
    this.#drawMedian(perSecond, now - second);
    this.#drawRate(perSecond, now - second);
  }

  /** What the chart shows, in words. */
  describe({ median, worst, perSecond }) {
    this.element.setAttribute(
      "aria-label",
      `The last minute: ${perSecond.toFixed(1)} changes per second, half of them on screen within ${duration(median)},` +
        ` 99 of 100 within ${duration(worst)}.`,
    );
  }

  /** One unit is one pixel at any width, so that the letters keep their size. */
  #fit(width) {
    if (width === this.#width || width === 0) return;
    this.#width = width;
    this.element.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const line = (y) => drawing("line", { class: "grid", x1: LEFT, x2: this.#place(0), y1: y, y2: y });
    const text = (x, y, anchor, words) => drawing("text", { class: "tick", x, y, "text-anchor": anchor }, words);
    this.#frame.replaceChildren(
      ...DECADES.flatMap((ms) => [line(heightOf(ms)), text(LEFT - 8, heightOf(ms) + 4, "end", axis(ms))]),
      line(RATE_FLOOR),
      text(LEFT - 8, RATE_FLOOR + 4, "end", "0"),
      ...TICKS.map((ago) => {
        const anchor = ago === 0 ? "end" : ago === 60 ? "start" : "middle";
        return text(this.#place(ago * 1000), HEIGHT - 4, anchor, ago === 0 ? "now" : `−${ago} s`);
      }),
    );
  }

  #dotsOf(name) {
    if (this.#dots.has(name)) return;
    const path = drawing("path", { "data-series": name });
    this.#dots.set(name, path);
    this.#points.append(path);
  }

  #drawMedian(perSecond, offset) {
    const points = perSecond.flatMap((values, bucket) =>
      values.length === 0
        ? []
        : [`${this.#place(bucket * 1000 + offset).toFixed(1)} ${heightOf(quantile(values, 0.5)).toFixed(1)}`],
    );
    this.#median.setAttribute("d", points.length === 0 ? "" : `M${points.join("L")}`);
  }

  #drawRate(perSecond, offset) {
    const most = Math.max(5, ...perSecond.map((values) => values.length));
    setText(this.#most, `${most}/s`);
    const width = Math.max(1, (this.#place(0) - LEFT) / SECONDS - 2);
    const bars = perSecond.map((values, bucket) => {
      if (values.length === 0) return "";
      const top = RATE_FLOOR - (values.length / most) * (RATE_FLOOR - RATE_TOP);
      const left = Math.max(LEFT, this.#place(bucket * 1000 + offset) - width / 2);
      return `M${left.toFixed(1)} ${RATE_FLOOR}V${top.toFixed(1)}h${width.toFixed(1)}V${RATE_FLOOR}z`;
    });
    this.#bars.setAttribute("d", bars.join(""));
  }

  /** Where a moment stands, by how many milliseconds ago it was. */
  #place(ago) {
    const right = this.#width - 8;
    return right - (Math.min(ago, Samples.SPAN) / Samples.SPAN) * (right - LEFT);
  }
}

const axis = (ms) => (ms < 1000 ? `${ms} ms` : `${ms / 1000} s`);

function heightOf(ms) {
  const share = Math.log10(Math.min(Math.max(ms, 1), 10_000)) / 4;
  return FLOOR - share * (FLOOR - TOP);
}
