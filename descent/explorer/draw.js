// Draw an image, and the networks of the models answer while it is drawn.

import { data, layersOf, numbered, pixelsOf, settings, studied } from "./data.js";
import { figureSide, toImage, tracePath } from "./digit.js";
import { byId, context, html, property } from "./elements.js";
import { count, percent } from "./format.js";
import { classify } from "./network.js";
import { paint } from "./pictures.js";

const SIDE = 280;
const SMALLEST_SIDE = 8;
const MANY_CLASSES = 12;

/**
 * @typedef {object} Drawing
 * @property {import("./digit.js").Stroke[]} strokes
 * @property {number | null} loaded a test image that is shown in place of strokes
 */

/** @type {Drawing} */
let shown = { strokes: [], loaded: null };
/** @type {Drawing[]} what was shown before, for "Undo" */
const earlier = [];
let canvas, format, preview, caption, cards, undo, clear;
let pen = { x: 0.5, y: 0.5, down: false, shown: false };

/** Sets the section up. */
export function startDrawing() {
  const { height, width, factor } = data.images;
  const what = numbered && data.classes.length === 10 ? "Draw a digit" : "Draw an image";
  byId("draw-title").textContent = what;
  if (!data.networks.length || factor > 1 || Math.min(height, width) < SMALLEST_SIDE) {
    byId("draw-lead").textContent = data.networks.length ? "The images of these data are too large or too small to be drawn by hand." : "No network fits into this page.";
    return;
  }
  format = { height, width, box: figureSide(data.viewed, pixelsOf, width, height) };
  byId("draw-lead").textContent = `${models()} while you draw, with the weights of ${data.networks.length === 1 ? "its" : "their"} first seed. Your drawing is scaled and centered as the training images were; the small picture is what a model sees.`;
  const names = numbered ? `${data.classes[0]} to ${data.classes[data.classes.length - 1]}` : data.classes.slice(0, 10).join(", ");
  canvas = html("canvas", { width: SIDE, height: SIDE, tabindex: "0", role: "img", id: "canvas", "aria-label": `${what} here: ${names}. With the keyboard, arrow keys move the pen, and space sets it down or lifts it.` });
  preview = html("canvas", { id: "preview", role: "img", "aria-label": "What a model sees" });
  caption = html("p", { class: "note", "aria-live": "polite" });
  undo = html("button", { type: "button", onclick: () => { shown = earlier.pop(); redraw(); } }, "Undo");
  clear = html("button", { type: "button", onclick: () => { pen.down = pen.shown = false; change([]); } }, "Clear");
  cards = data.networks.map(card);
  byId("drawing").append(
    html("div", { class: "easel" }, html("div", { class: "paper" }, canvas), html("div", { class: "beside" }, html("div", { class: "buttons" }, undo, clear), html("figure", {}, preview, html("figcaption", {}, "what a model sees"))), mistakeChooser(), caption),
    html("div", { class: "models", "aria-live": "off" }, ...cards.map(({ element }) => element)),
  );
  listen();
  drawDrawing();
}

function models() {
  const [here, all] = [data.networks.length, data.networks.length + data.networks_left_out];
  if (all === 1) return "The model of the report answers";
  return here === all ? `The ${all} models of the report answer` : `${here} of the ${all} models of the report, as many as fit into this page, answer`;
}

/** A button that shows a misclassified image, and a choice of the model. */
function mistakeChooser() {
  const withMistakes = data.networks.filter((network) => network.mistakes.length);
  if (!withMistakes.length) return null;
  const which = html("select", { "aria-label": "Model whose mistakes are shown" }, ...withMistakes.map(({ model }) => html("option", { value: model }, model)));
  const favourite = data.answers.find((answer) => withMistakes.some(({ model }) => model === answer.model))?.model;
  if (favourite) which.value = favourite;
  const turns = new Map();
  const show = html("button", { type: "button", id: "wrong", onclick: () => {
    const { mistakes } = withMistakes[which.selectedIndex];
    const turn = turns.get(which.value) ?? 0;
    turns.set(which.value, turn + 1);
    change([], data.images.rows.indexOf(mistakes[turn % mistakes.length]));
  } }, "Show me one it gets wrong");
  return html("div", { class: "buttons" }, withMistakes.length > 1 ? which : null, show);
}

function card(network) {
  const run = studied.find(({ model }) => model === network.model);
  const says = html("strong", { class: "says" });
  const bars = html("div", { class: data.classes.length > MANY_CLASSES || !numbered ? "bars wide" : "bars", role: "img" });
  const element = html("article", { class: "card model", "data-model": network.model },
    html("h3", {}, network.model), says, html("p", { class: "note" }, `${settings(run)}: ${run.status}, test accuracy ${percent(network.test_accuracy)}`), bars);
  return { network, element, says, bars };
}

function listen() {
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  };
  let pointer = null; // a second finger does not draw
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || pointer !== null) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    pen.shown = pen.down = false;
    startStroke(place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    extendStroke(...(events.length ? events : [event]).map(place));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => event.pointerId === pointer && (pointer = null));
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) startStroke({ x: pen.x, y: pen.y });
    } else if (event.key in moves) {
      pen.x = Math.min(Math.max(pen.x + moves[event.key][0] / 20, 0.05), 0.95);
      pen.y = Math.min(Math.max(pen.y + moves[event.key][1] / 20, 0.05), 0.95);
      if (pen.down) extendStroke({ x: pen.x, y: pen.y });
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      pen.down = false;
      undo.click();
    } else return;
    event.preventDefault();
    pen.shown = true;
    redraw();
  });
}

function startStroke(point) {
  change([...shown.strokes, [point]]);
}

function extendStroke(...points) {
  shown.strokes[shown.strokes.length - 1].push(...points);
  redraw();
}

function change(strokes, loaded = null) {
  earlier.push(shown);
  shown = { strokes, loaded };
  redraw();
}

let waiting = false;

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawDrawing();
  });
}

/** Draws the canvas, the preview and the answers; also needed when the theme changes. */
export function drawDrawing() {
  if (!canvas) return;
  const { strokes, loaded } = shown;
  const { height, width } = format;
  const image = loaded === null ? toImage(strokes, format) : pixelsOf(loaded);
  const paper = context(canvas, SIDE, SIDE);
  paper.fillStyle = "#fff";
  paper.fillRect(0, 0, SIDE, SIDE);
  if (loaded !== null) {
    const small = document.createElement("canvas");
    paint(small, image, width);
    paper.imageSmoothingEnabled = false;
    const scale = Math.min(SIDE / width, SIDE / height);
    paper.drawImage(small, (SIDE - width * scale) / 2, (SIDE - height * scale) / 2, width * scale, height * scale);
  } else if (strokes.length) {
    paper.strokeStyle = "#1f2328";
    tracePath(paper, strokes, SIDE * 0.075, ({ x, y }) => [x * SIDE, y * SIDE]);
  } else {
    paper.fillStyle = "#59636e";
    paper.font = `15px ${getComputedStyle(document.body).fontFamily}`;
    paper.textAlign = "center";
    paper.fillText(`${byId("draw-title").textContent} here`, SIDE / 2, SIDE / 2);
  }
  if (pen.shown) {
    paper.strokeStyle = property("model-1");
    paper.lineWidth = 2;
    paper.beginPath();
    paper.arc(pen.x * SIDE, pen.y * SIDE, pen.down ? 6 : 10, 0, 7);
    paper.stroke();
  }
  paint(preview, image ?? new Uint8Array(height * width), width);
  undo.disabled = !earlier.length;
  clear.disabled = !strokes.length && loaded === null;
  caption.hidden = loaded === null;
  caption.textContent = loaded === null ? "" : `Test image ${count(data.images.rows[loaded])}: its class is ${data.classes[data.images.labels[loaded]]}.`;
  for (const entry of cards) answer(image && classify(layersOf(entry.network), entry.network.activation, image), entry);
}

/** Shows what a network answers. @param {Float64Array | null} found */
function answer(found, { says, bars, element }) {
  const known = found && found.every((value) => Number.isFinite(value));
  const best = known ? found.indexOf(Math.max(...found)) : -1;
  says.textContent = !found ? "–" : known ? `${data.classes[best]}  ${percent(found[best], 0)}` : "its weights are no numbers";
  element.dataset.verdict = shown.loaded === null || !known ? "" : best === data.images.labels[shown.loaded] ? "right" : "wrong";
  let places = data.classes.map((_, place) => place);
  if (places.length > MANY_CLASSES) {
    if (known) places.sort((a, b) => found[b] - found[a]);
    places = places.slice(0, 5);
  }
  bars.replaceChildren(...places.map((place) => {
    const share = known ? found[place] : 0;
    return html("div", { class: place === best ? "bar best" : "bar", title: `${data.classes[place]}: ${percent(share)}` },
      html("span", { class: "fill", style: `--share:${share}` }), html("span", { class: "name" }, data.classes[place]));
  }));
  bars.setAttribute("aria-label", known ? places.filter((place) => found[place] >= 0.01).map((place) => `${data.classes[place]} ${percent(found[place], 0)}`).join(", ") : "no answer");
}
