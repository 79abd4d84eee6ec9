// Making elements of HTML and SVG. Texts become text nodes, so nothing in them is live.

/**
 * @param {string} tag
 * @param {Record<string, any>} attributes names starting with "on" are listeners; null and false are left out
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. @returns {SVGElement} */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** @param {string} id @returns {any} */
export function byId(id) {
  return document.getElementById(id);
}

/** The value of a custom property of the page, such as a color. @param {string} name */
export function property(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Makes a canvas sharp on its screen. @param {any} canvas @param {number} width @param {number} height in CSS pixels */
export function context(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const found = canvas.getContext("2d");
  found.setTransform(scale, 0, 0, scale, 0, 0);
  return found;
}

/** Whether animations should be left out. */
export function still() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** @param {string} color such as "#0072b2" @returns {number[]} red, green, blue */
export function channels(color) {
  return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
}

/** A color on a ramp. @param {string[]} colors @param {number} share from 0 to 1 @returns {number[]} red, green, blue */
export function ramp(colors, share) {
  const place = Math.min(Math.max(share, 0), 1) * (colors.length - 1);
  const low = Math.min(Math.floor(place), colors.length - 2);
  const [from, to] = [channels(colors[low]), channels(colors[low + 1])];
  return from.map((value, at) => Math.round(value + (to[at] - value) * (place - low)));
}
