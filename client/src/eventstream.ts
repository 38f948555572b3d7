/**
 * The parser of `text/event-stream`, as the HTML standard describes it, for a stream that is read with fetch.
 *
 * EventSource cannot send an Authorization header, hence this. Text may arrive in pieces of any length, with any of the
 * three line ends. A block with an `id:` and no data, which dispatches nothing in the standard, is handed on as well: it
 * is how a quiet stream keeps its place. `retry:` is ignored; how long to wait is decided elsewhere.
 */

export interface Block {
  readonly event: string;
  /** Null where the block had no data at all. */
  readonly data: string | null;
  /** The id of this block; null where it named none. */
  readonly id: string | null;
}

export class EventStream {
  #rest = "";
  #skipLineFeed = false;
  #begun = false;
  #event = "";
  #data: string[] = [];
  #id: string | null = null;

  /** The blocks that are complete with `text`. */
  push(text: string): Block[] {
    const blocks: Block[] = [];
    let input = this.#rest + text;
    if (!this.#begun && input.length > 0) {
      this.#begun = true;
      if (input.startsWith("\uFEFF")) input = input.slice(1);
    }
    let start = 0;
    for (let at = this.#rest.length; at < input.length; at++) {
      const char = input[at];
      if (char !== "\n" && char !== "\r") {
        this.#skipLineFeed = false;
        continue;
      }
      // The second half of a CRLF, which may arrive in the next piece.
      if (char === "\n" && this.#skipLineFeed) {
        this.#skipLineFeed = false;
        start = at + 1;
        continue;
      }
      this.#skipLineFeed = char === "\r";
      const block = this.#line(input.slice(start, at));
      if (block) blocks.push(block);
      start = at + 1;
    }
    this.#rest = input.slice(start);
    return blocks;
  }

  #line(line: string): Block | null {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  #dispatch(): Block | null {
    const block: Block = {
      event: this.#event || "message",
      data: this.#data.length ? this.#data.join("\n") : null,
      id: this.#id,
    };
    this.#event = "";
    this.#data = [];
    this.#id = null;
    return block.data === null && block.id === null ? null : block;
  }
}
