// The loss over a plane in weight space as a colored canvas, and trajectories on it as SVG.

import { valueAt } from "./data.js";
import { mark } from "./charts.js";
import { channels, html, property, ramp, svg } from "./elements.js";
import { number } from "./format.js";

const WIDTH_PX = 360;
const HEIGHT_PX = 324; // the frames' aspect ratio is 0.9
const BANDS = 14;

/** @typedef {{left: number, right: number, bottom: number, top: number, columns: number, loss: (number | null)[]}} Frame */

/** A picture of a loss surface with two trajectories. */
export class Surface {
  /** @param {HTMLElement} host @param {(zoom: number) => void} onZoom */
  constructor(host, onZoom) {
    this.canvas = html("canvas", { width: WIDTH_PX, height: HEIGHT_PX, "aria-hidden": "true" });
    this.overlay = svg("svg", { viewBox: `0 0 ${WIDTH_PX} ${HEIGHT_PX}`, role: "img", "aria-label": "Trajectories of the chosen and the pinned run over the loss surface" });
    this.legend = html("p", { class: "note ramp" });
    this.zooms = html("div", { class: "zooms", role: "group", "aria-label": "Magnification around the start" });
    this.onZoom = onZoom;
    host.replaceChildren(html("div", { class: "surface" }, this.canvas, this.overlay), html("div", { class: "under" }, this.legend, this.zooms));
  }

  /**
   * @param {Frame[]} frames from the largest to the most magnified
   * @param {number} zoom
   * @param {{side: "a" | "b", run: import("./data.js").Run}[]} runs
   */
  draw(frames, zoom, runs) {
    this.frame = frames[zoom];
    this.paint();
    this.zooms.replaceChildren(...frames.map((frame, place) => html("button", {
      type: "button", id: `zoom-${place}`, "aria-pressed": String(place === zoom), onclick: () => this.onZoom(place),
      "aria-label": place ? `Magnify ${magnification(frames, place)} times` : "Show all trajectories",
    }, place ? `${magnification(frames, place)}×` : "all")));
    this.runs = runs;
    const parts = [svg("circle", { cx: this.x(0), cy: this.y(0), r: 3, class: "start" }), svg("text", { x: this.x(0), y: this.y(0) + 20, "text-anchor": "middle", class: "on-surface" }, "start")];
    this.marks = {};
    const words = [];
    for (const { side, run } of runs) {
      const points = run.trajectory.map((point, place) => this.place(run, place));
      const known = points.filter((point) => point !== null);
      const path = known.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
      if (known.length > 1) parts.push(svg("path", { d: path, class: "casing" }), svg("path", { d: path, class: `line ${side}` }));
      if (run.trajectory.length <= 24) for (const [x, y] of known.slice(1)) parts.push(svg("circle", { cx: x, cy: y, r: 3, class: `dot ${side}` }));
      const inside = known.filter(([x, y]) => x >= 0 && x <= WIDTH_PX && y >= 0 && y <= HEIGHT_PX);
      if (inside.length < points.length) {
        const [x, y] = inside[inside.length - 1] ?? [0, 0];
        const middle = x > WIDTH_PX / 2;
        words.push(svg("text", { x: Math.min(Math.max(x, 8), WIDTH_PX - 8), y: Math.min(Math.max(y - 16, 16) + (side === "b" ? 14 : 0), HEIGHT_PX - 6), "text-anchor": middle ? "end" : "start", class: "on-surface" }, `${side.toUpperCase()} leaves the picture`));
      }
      this.marks[side] = mark(side);
    }
    this.overlay.replaceChildren(...parts, ...words, ...Object.values(this.marks).reverse());
  }

  /** Moves the marks. @param {"a" | "b"} side @param {{frame: number, share: number}} at */
  move(side, at) {
    const run = this.runs.find((entry) => entry.side === side)?.run;
    if (!run || !this.marks[side]) return;
    const next = at.share ? this.place(run, at.frame + 1) : null;
    const here = this.place(run, at.frame);
    this.marks[side].style.visibility = here && run.trajectory.length ? "visible" : "hidden";
    if (!here) return;
    const x = next ? valueAt([here[0], next[0]], { frame: 0, share: at.share }) : here[0];
    const y = next ? valueAt([here[1], next[1]], { frame: 0, share: at.share }) : here[1];
    this.marks[side].setAttribute("transform", `translate(${x.toFixed(1)},${y.toFixed(1)})`);
  }

  /** The place of a point of a trajectory on the picture; one far outside is brought near. */
  place(run, index) {
    const point = run.trajectory[index];
    if (!point || point[0] === null || point[1] === null) return null;
    const wide = this.frame.right - this.frame.left;
    const far = Math.max(Math.abs(point[0]), Math.abs(point[1])) / (3 * wide);
    return far > 1 ? [this.x(point[0] / far), this.y(point[1] / far)] : [this.x(point[0]), this.y(point[1])];
  }

  x(value) {
    return ((value - this.frame.left) / (this.frame.right - this.frame.left)) * WIDTH_PX;
  }

  y(value) {
    return HEIGHT_PX - ((value - this.frame.bottom) / (this.frame.top - this.frame.bottom)) * HEIGHT_PX;
  }

  paint() {
    const { columns, loss } = this.frame;
    const rows = loss.length / columns;
    const logs = loss.map((value) => (value === null || value <= 0 ? NaN : Math.log(value)));
    const known = logs.filter((value) => !Number.isNaN(value));
    // Around a stalled run the loss is almost flat: then the whole range is still shown, so that its slope is seen.
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const colors = [0, 1, 2, 3, 4].map((place) => property(`surface-${place}`));
    const bands = Array.from({ length: BANDS }, (_, band) => ramp(colors, band / (BANDS - 1)));
    const empty = channels(property("empty"));
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(WIDTH_PX, HEIGHT_PX);
    for (let y = 0; y < HEIGHT_PX; y++) {
      const row = (1 - y / (HEIGHT_PX - 1)) * (rows - 1);
      for (let x = 0; x < WIDTH_PX; x++) {
        const value = interpolated(logs, columns, rows, (x / (WIDTH_PX - 1)) * (columns - 1), row);
        const share = Math.floor(((value - low) / (high - low || 1)) * BANDS);
        const color = Number.isNaN(value) ? empty : bands[Math.min(Math.max(share, 0), BANDS - 1)];
        image.data.set([...color, 255], 4 * (y * WIDTH_PX + x));
      }
    }
    context.putImageData(image, 0, 0);
    const stops = colors.map((color) => html("span", { style: `background:${color}`, "aria-hidden": "true" }));
    this.legend.replaceChildren(`loss ${number(Math.exp(low), 2)} `, ...stops, ` ${number(Math.exp(high), 2)}`);
  }
}

function magnification(frames, place) {
  return Math.round((frames[0].right - frames[0].left) / (frames[place].right - frames[place].left));
}

/** The most magnified frame that holds the trajectories; the largest one if a trajectory leaves it. @param {Frame[]} frames @param {import("./data.js").Run[]} runs */
export function fittingZoom(frames, runs) {
  const points = runs.flatMap((run) => run.trajectory);
  for (let zoom = frames.length - 1; zoom > 0; zoom--) {
    if (points.every(([x, y]) => x !== null && y !== null && inFrame(frames[zoom], x, y))) return zoom;
  }
  return 0;
}

function inFrame(frame, x, y) {
  return x >= frame.left && x <= frame.right && y >= frame.bottom && y <= frame.top;
}

function interpolated(values, columns, rows, column, row) {
  const [x, y] = [Math.min(Math.floor(column), columns - 2), Math.min(Math.floor(row), rows - 2)];
  const [dx, dy] = [column - x, row - y];
  const at = y * columns + x;
  return (values[at] * (1 - dx) + values[at + 1] * dx) * (1 - dy) + (values[at + columns] * (1 - dx) + values[at + columns + 1] * dx) * dy;
}
