// Line charts in SVG with marks that move.

import { svg } from "./elements.js";
import { number } from "./format.js";

const WIDTH = 360;
const HEIGHT = 324;
const MARGIN = { left: 46, right: 12, top: 10, bottom: 34 };

/**
 * @typedef {object} Line
 * @property {"a" | "b"} side decides the color and the dashes
 * @property {number[]} x
 * @property {(number | null)[]} y
 * @typedef {object} Axes
 * @property {[number, number]} x
 * @property {[number, number]} y
 * @property {boolean} log whether y is on a log scale
 * @property {string} title of the x axis
 * @property {(value: number) => string} [label] of a tick on the y axis
 * @property {{y: number, words: string}} [rule] a horizontal line
 */

/** A chart in an element. Lines that leave its top are cut, with a sign and the value. */
export class Chart {
  /** @param {HTMLElement} host @param {string} label for those who cannot see it */
  constructor(host, label) {
    this.root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "chart" });
    host.replaceChildren(this.root);
    this.marks = {};
  }

  /** Calls a function with the place on the x axis where the chart is clicked, or dragged over. @param {(x: number) => void} listener */
  onPoint(listener) {
    const tell = (/** @type {any} */ event) => {
      const box = this.root.getBoundingClientRect();
      const share = (((event.clientX - box.left) / box.width) * WIDTH - MARGIN.left) / (WIDTH - MARGIN.left - MARGIN.right);
      const [low, high] = this.axes.x;
      listener(low + Math.min(Math.max(share, 0), 1) * (high - low));
    };
    this.root.classList.add("pointed");
    this.root.addEventListener("click", tell);
    this.root.addEventListener("pointermove", (event) => event.pointerType === "mouse" && event.buttons === 1 && tell(event));
  }

  /** @param {Axes} axes @param {Line[]} lines */
  draw(axes, lines) {
    this.axes = axes;
    const { left, right, top, bottom } = MARGIN;
    const parts = [];
    for (const value of ticks(axes.y, axes.log)) {
      const y = this.y(value);
      parts.push(svg("line", { x1: left, x2: WIDTH - right, y1: y, y2: y, class: "gridline" }));
      parts.push(svg("text", { x: left - 7, y: y + 4, "text-anchor": "end" }, (axes.label ?? number)(value)));
    }
    for (const value of wholeTicks(axes.x)) {
      parts.push(svg("text", { x: this.x(value), y: HEIGHT - bottom + 17, "text-anchor": "middle" }, String(value)));
    }
    parts.push(svg("line", { x1: left, x2: WIDTH - right, y1: HEIGHT - bottom, y2: HEIGHT - bottom, class: "axis" }));
    parts.push(svg("text", { x: WIDTH - right, y: HEIGHT - 3, "text-anchor": "end" }, axes.title));
    if (axes.rule) {
      const y = this.y(axes.rule.y);
      parts.push(svg("line", { x1: left, x2: WIDTH - right, y1: y, y2: y, class: "rule" }));
      parts.push(svg("text", { x: WIDTH * 0.62, y: y - 5, "text-anchor": "middle", class: "faint on-paper" }, axes.rule.words));
    }
    // An inner SVG cuts what leaves the chart, with room for half a mark on each side.
    const box = [0, top - 7, WIDTH, HEIGHT - top - bottom + 14];
    const group = svg("svg", { x: box[0], y: box[1], width: box[2], height: box[3], viewBox: box.join(" ") });
    for (const line of lines) {
      group.append(svg("path", { d: this.path(line), class: `line ${line.side}` }));
      line.x.forEach((x, place) => {
        const y = line.y[place];
        if (y !== null && line.x.length <= 24) group.append(svg("circle", { cx: this.x(x), cy: this.y(y), r: 2.2, class: `dot ${line.side}` }));
      });
      const lost = line.y.findIndex((value) => value === null || value > axes.y[1] * 1.001);
      if (lost >= 0) {
        const words = `${line.side.toUpperCase()} ${line.y[lost] === null ? "× not finite" : `▲ ${number(line.y[lost])}`}`;
        const end = this.x(line.x[lost]) > WIDTH / 2;
        parts.push(svg("text", { x: this.x(line.x[lost]) + (end ? -4 : 4), y: top + (line.side === "a" ? 8 : 24), "text-anchor": end ? "end" : "start", class: "lost on-paper" }, words));
      }
    }
    this.marks = Object.fromEntries(lines.map((line) => [line.side, mark(line.side)]));
    group.append(...Object.values(this.marks).reverse());
    this.root.replaceChildren(...parts, group);
  }

  /** Moves a line's mark. @param {"a" | "b"} side @param {number} x @param {number | null} y null hides it */
  move(side, x, y) {
    const found = this.marks[side];
    if (!found) return;
    found.style.visibility = y === null || y > this.axes.y[1] * 1.5 ? "hidden" : "visible";
    if (y !== null) found.setAttribute("transform", `translate(${this.x(x)},${this.y(y)})`);
  }

  x(value) {
    const [low, high] = this.axes.x;
    return MARGIN.left + ((value - low) / (high - low || 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  }

  y(value) {
    const scale = this.axes.log ? Math.log10 : (/** @type {number} */ v) => v;
    const [low, high] = this.axes.y.map(scale);
    // Far above the top all places are the same: SVG has no room for 10^17.
    const share = Math.min((scale(Math.max(value, 1e-300)) - low) / (high - low || 1), 3);
    return HEIGHT - MARGIN.bottom - Math.max(share, -0.5) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  }

  /** @param {Line} line */
  path(line) {
    let pen = "M";
    return line.y.map((y, place) => {
      if (y === null) {
        pen = "M";
        return "";
      }
      const step = `${pen}${this.x(line.x[place]).toFixed(2)},${this.y(y).toFixed(2)}`;
      pen = "L";
      return step;
    }).join("");
  }
}

/** The mark of a side: a circle, or a square. @param {"a" | "b"} side */
export function mark(side) {
  return side === "a" ? svg("circle", { r: 6, class: "mark a" }) : svg("rect", { x: -5.5, y: -5.5, width: 11, height: 11, class: "mark b" });
}

/** @param {[number, number]} range @param {boolean} log @returns {number[]} */
function ticks([low, high], log) {
  if (!log) return [0, 1, 2, 3, 4].map((place) => low + ((high - low) * place) / 4);
  const powers = [];
  const steps = Math.log10(high / low) > 2.2 ? [1] : [1, 2, 5];
  const stride = Math.max(1, Math.ceil(Math.log10(high / low) / 6));
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += stride) {
    for (const step of steps) powers.push(Number(`${step}e${power}`));
  }
  return powers.filter((value) => value >= low * 0.999 && value <= high * 1.001);
}

function wholeTicks([low, high]) {
  const stride = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 20000].find((step) => (high - low) / step <= 8) ?? high - low;
  const found = [];
  for (let value = low; value <= high; value += stride) found.push(value);
  return found;
}
