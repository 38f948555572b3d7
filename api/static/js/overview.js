/** The overview: latency and rate in numbers and as a chart, what came of resuming, and whether the clocks can be believed. */

import { Chart } from "./chart.js";
import { element, setText } from "./element.js";
import { count, duration, plural } from "./format.js";
import { quantile, Samples } from "./recent.js";

/** A difference of the clocks beyond this would be seen in the figures. */
const CLOCK_TOLERANCE_MS = 5;

export class Overview {
  #samples = new Samples();
  #chart = new Chart();
  #accounts;
  #values;
  #clock;
  #named = new Set();
  /** Milliseconds from the row to the screen. */
  median = Number.NaN;

  /** `values`: the elements to fill, by name. */
  constructor(accounts, values, place) {
    this.#accounts = accounts;
    this.#values = values;
    this.#clock = new Clock();
    place.append(this.#chart.element);
  }

  /** What was measured of one change of this account's. */
  add({ name, series }, sample) {
    this.#samples.add({ series, ...sample });
    if (this.#named.has(name)) return;
    this.#named.add(name);
    const swatch = element("span", { class: "swatch" });
    const entries = [...this.#values.legend.children];
    const next = entries.find((entry) => Number(entry.dataset.series ?? 0) > series) ?? null;
    this.#values.legend.insertBefore(element("li", { "data-series": series }, swatch, name), next);
  }

  /** A message that says when it was made, at the moment when it arrived. */
  note(timestamp, now) {
    this.#clock.note(Date.parse(timestamp), now);
  }

  /** The figures of the last minute. */
  render(now) {
    const samples = this.#samples.since(now);
    const painted = samples.map((sample) => sample.painted);
    const arrived = samples.map((sample) => sample.arrived);
    const figures = {
      median: quantile(painted, 0.5),
      worst: quantile(painted, 0.99),
      perSecond: samples.length / (Samples.SPAN / 1000),
    };
    this.median = figures.median;
    this.#chart.render(samples, now);
    this.#chart.describe(figures);
    setText(this.#values.screen, duration(figures.median));
    setText(this.#values.screenWorst, within(figures.worst));
    setText(this.#values.browser, duration(quantile(arrived, 0.5)));
    setText(this.#values.browserWorst, within(quantile(arrived, 0.99)));
    const recent = samples.filter((sample) => sample.at > now - 10_000).length / 10;
    setText(this.#values.rate, recent.toFixed(1));
    setText(this.#values.total, `${plural(this.#samples.total, "change")} drawn`);
    this.#renderResumes();
    setText(this.#values.clock, this.#clock.sentence());
  }

  #renderResumes() {
    const sum = (pick) => this.#accounts().reduce((total, account) => total + pick(account), 0);
    const resumes = sum(({ outcomes }) => outcomes.fresh + outcomes.replayed + outcomes.resync);
    const repeats = sum(({ counts }) => counts.repeats);
    setText(this.#values.resumes, count(resumes));
    if (resumes + repeats === 0) return setText(this.#values.outcomes, "nothing to resume yet");
    setText(
      this.#values.outcomes,
      `${sum(({ outcomes }) => outcomes.fresh)} fresh, ${sum(({ outcomes }) => outcomes.replayed)} replayed,` +
        ` ${sum(({ outcomes }) => outcomes.resync)} resync; ${plural(repeats, "repeat")} dropped`,
    );
  }
}

const within = (worst) => (Number.isFinite(worst) ? `99 of 100 within ${duration(worst)}` : "no change yet");

/**
 * Whether server and browser agree on the time, from messages that were made the moment they were sent. The least difference
 * seen is the clocks' own and the fastest way; a negative one, or a large one, shows that they differ.
 */
class Clock {
  #least = Number.POSITIVE_INFINITY;

  note(made, now) {
    this.#least = Math.min(this.#least, now - made);
  }

  sentence() {
    if (!Number.isFinite(this.#least)) return "";
    if (Math.abs(this.#least) <= CLOCK_TOLERANCE_MS) return "The server's clock and this browser's agree.";
    const by = duration(Math.abs(this.#least));
    return `The clocks of server and browser differ by ${by}, or the network takes that long; it is in the figures.`;
  }
}
