/**
 * A board: the rows that changed last, each keeping its place for as long as it is among them, so that the eye can follow.
 *
 * A cell whose text changes flashes, a row that comes in flashes as a whole. What falls out makes room for what comes.
 */

import { element, flash, setText } from "./element.js";

export class Board {
  #rows;
  #columns;
  #slots;
  #caption;
  #title;
  #drawn = false;

  /**
   * `columns`: `{label, name, text(row), make?(cell), show?(parts, text, row)}`; the first one names the row, `text` decides
   * whether a cell has changed, `row` is null where a place is vacant.
   */
  constructor({ rows, title, columns, size }) {
    this.#rows = rows;
    this.#columns = columns;
    this.#title = title;
    this.#caption = element("caption", {}, title);
    const heads = columns.map(({ label, name }) => element("th", { scope: "col", "data-column": name }, label));
    this.#slots = Array.from({ length: size }, () => this.#slot());
    this.element = element(
      "table",
      { class: "board" },
      this.#caption,
      element("thead", {}, element("tr", {}, ...heads)),
      element("tbody", {}, ...this.#slots.map((slot) => slot.row)),
    );
  }

  #slot() {
    const cells = this.#columns.map(({ name, make }, number) => {
      const tag = number === 0 ? "th" : "td";
      const node = element(tag, { scope: number === 0 ? "row" : null, "data-column": name });
      return { node, parts: make ? make(node) : node, shown: null };
    });
    return { row: element("tr", { class: "vacant" }, ...cells.map((cell) => cell.node)), cells, id: null, value: null };
  }

  /** The ids on the board, from top to bottom. */
  get ids() {
    return this.#slots.map((slot) => slot.id).filter((id) => id !== null);
  }

  /** Draw what has changed. */
  render() {
    const wanted = this.#rows.newest(this.#slots.length);
    const missing = new Set(wanted);
    for (const slot of this.#slots) {
      if (slot.id !== null && !missing.delete(slot.id)) slot.id = null;
    }
    const coming = [...missing];
    for (const slot of this.#slots) {
      const entered = slot.id === null && coming.length > 0;
      if (entered) slot.id = coming.shift();
      this.#show(slot, entered && this.#drawn);
    }
    const shown = Math.min(this.#slots.length, this.#rows.size);
    setText(
      this.#caption,
      this.#rows.size > shown ? `${this.#title}: the latest ${shown} of ${this.#rows.size}` : this.#title,
    );
    if (this.#rows.size > 0) this.#drawn = true;
  }

  #show(slot, entered) {
    const value = slot.id === null ? null : this.#rows.get(slot.id);
    if (value === slot.value) return;
    slot.value = value;
    slot.row.classList.toggle("vacant", value === null);
    if (slot.id === null) delete slot.row.dataset.row;
    else slot.row.dataset.row = slot.id;
    if (entered) flash(slot.row);
    this.#columns.forEach((column, number) => {
      const cell = slot.cells[number];
      const shown = value === null ? "" : column.text(value);
      const before = cell.shown;
      cell.shown = shown;
      if (shown === before) return;
      if (column.show) column.show(cell.parts, shown, value);
      else setText(cell.node, shown);
      if (value !== null && !entered && this.#drawn) flash(cell.node);
    });
  }
}
