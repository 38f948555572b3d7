/**
 * Drawing once per frame: what has changed is asked for as often as one likes, and drawn with the next frame; what waits for
 * being on screen is told afterwards.
 *
 * `requestAnimationFrame` runs before the frame is painted, a message posted from there is handled right after it: that is the
 * moment that is called "on screen" here. A hidden page has no frames: it is drawn seldom then, and nothing is measured.
 */

const HIDDEN_DELAY = 250;

export class Frames {
  #renders = new Set();
  #painted = [];
  #scheduled = false;
  #channel = new MessageChannel();
  #after = [];

  constructor() {
    this.#channel.port1.addEventListener("message", () => {
      const now = Date.now();
      const after = this.#after.splice(0);
      for (const tell of after) tell(now);
    });
    this.#channel.port1.start();
    document.addEventListener("visibilitychange", () => {
      // A frame that was asked for before the page was hidden comes only when it is shown again.
      if (this.#scheduled) this.#schedule();
    });
  }

  /** Draw with the next frame; `painted(now)` is told when that frame is on screen. */
  request(render, painted = null) {
    this.#renders.add(render);
    if (painted !== null) this.#painted.push(painted);
    if (!this.#scheduled) this.#schedule();
  }

  #schedule() {
    this.#scheduled = true;
    if (document.hidden) setTimeout(() => this.#draw(false), HIDDEN_DELAY);
    else requestAnimationFrame(() => this.#draw(true));
  }

  #draw(visible) {
    if (!this.#scheduled) return;
    this.#scheduled = false;
    const renders = [...this.#renders];
    this.#renders.clear();
    const painted = this.#painted.splice(0);
    for (const render of renders) render();
    if (visible && painted.length > 0) {
      this.#after.push(...painted);
      this.#channel.port2.postMessage(null);
    }
  }
}
