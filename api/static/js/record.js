/** What went over the wires, as the inspector keeps it: a bounded list of records, newest last, that can be filtered. Pure. */

const KEPT = 1000;

export class Record {
  #entries = [];
  #number = 0;

  /** `direction`: `received`, `sent` or `lost`. */
  add(name, series, direction, message, at) {
    this.#number++;
    this.#entries.push({ number: this.#number, name, series, direction, message, at, text: null });
    // Cut in pieces, because each cut copies the rest.
    if (this.#entries.length > KEPT * 1.2) this.#entries = this.#entries.slice(-KEPT);
  }

  /** How many there ever were. */
  get total() {
    return this.#number;
  }

  find(number) {
    return this.#entries.find((entry) => entry.number === number);
  }

  /** The newest entries that match and are not newer than `last`; the newest first. */
  newest(most, { name, words }, last = Number.POSITIVE_INFINITY) {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    for (let place = this.#entries.length - 1; place >= 0 && found.length < most; place--) {
      const entry = this.#entries[place];
      if (entry.number > last || (name !== "" && entry.name !== name)) continue;
      if (wanted.every((word) => textOf(entry).includes(word))) found.push(entry);
    }
    return found;
  }
}

function textOf(entry) {
  entry.text ??= JSON.stringify(entry.message).toLowerCase();
  return entry.text;
}
