/**
 * Elements, made without markup: whatever a row holds arrives on the page as text, and the page's policy allows nothing else.
 */

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (null, undefined and false: left out) and children (elements and texts). */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for drawings. */
export function drawing(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, String(value));
  }
  node.append(...children);
  return node;
}

/** Sets a text, and touches the page only where it is another one. Returns whether it was. */
export function setText(node, text) {
  if (node.textContent === text) return false;
  node.textContent = text;
  return true;
}

/** The style sheet's flash is over by then. */
const FLASH_MS = 1500;
const fading = new WeakMap();

/**
 * Lets an element flash, also one that is flashing already. What that looks like is the style sheet's. The mark is taken away
 * again by the clock, not by the end of an animation, which a column that is hidden never has: it would flash when it is shown.
 */
export function flash(node) {
  clearTimeout(fading.get(node));
  node.dataset.flash = node.dataset.flash === "a" ? "b" : "a";
  fading.set(
    node,
    setTimeout(() => delete node.dataset.flash, FLASH_MS),
  );
}

/** A button with a handler. */
export function button(label, pressed, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", pressed);
  return made;
}
