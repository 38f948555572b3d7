/**
 * Measures in a page, from the inside, how long a change takes from its capture to the screen. It is run before the page's
 * own scripts and changes nothing that they see: every WebSocket is listened to as well, and the document is observed.
 *
 * `paints`: for each change of an execution's progress that was drawn, in the order of drawing: {id, progress, milliseconds}.
 * Captured: the message's `timestamp`, which the trigger wrote. Painted: the frame that shows the row's new progress has been
 * handed over, which a page knows by what it posts from requestAnimationFrame. Assumes one clock for database and page.
 */
(() => {
  const awaited = new Map();
  const paints = [];
  globalThis.paints = paints;

  function received(text) {
    if (typeof text !== "string" || !text.startsWith("{") && !text.startsWith("[")) return;
    for (const { type, timestamp, data } of [JSON.parse(text)].flat())
      if (type.startsWith("execution-") && data.progress !== null)
        awaited.set(data.execution_id, { progress: data.progress, at: Date.parse(timestamp) });
  }

  globalThis.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => received(data));
    }
  };

  function painted(drawn) {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      const now = performance.timeOrigin + performance.now();
      for (const { id, progress, at } of drawn) paints.push({ id, progress, milliseconds: now - at });
    };
    requestAnimationFrame(() => port2.postMessage(null));
  }

  new MutationObserver(() => {
    const drawn = [];
    for (const [id, { progress, at }] of awaited) {
      const row = document.querySelector(`tr[data-id="${id}"]`);
      if (!row?.textContent.includes(` ${progress} %`)) continue;
      awaited.delete(id);
      drawn.push({ id, progress, at });
    }
    if (drawn.length) painted(drawn);
  }).observe(document, { subtree: true, childList: true, characterData: true });
})();
