// Draw an image, and the networks of the models answer while it is drawn.

import { data, layersOf, numbered, pixelsOf } from "./data.js";
import { toImage, tracePath } from "./digit.js";
import { byId, context, html, property } from "./elements.js";
import { count, percent } from "./format.js";
import { classify } from "./network.js";
import { paint } from "./pictures.js";

const SIDE = 280;
const MANY_CLASSES = 12;

/** @type {import("./digit.js").Stroke[]} */
let strokes = [];
/** @type {number | null} a test image that is shown in place of a drawing */
let loaded = null;
let canvas, preview, caption, cards, undo, clear;
let pen = { x: 0.5, y: 0.5, down: false, shown: false };

/** Sets the section up. */
export function startDrawing() {
  const what = numbered && data.classes.length === 10 ? "Draw a digit" : "Draw an image";
  byId("draw-title").textContent = what;
  if (!data.drawing) {
    byId("draw-lead").textContent = data.networks.length ? "The images of these data are too large to be drawn by hand." : "No network fits into this page.";
    return;
  }
  const names = numbered ? `${data.classes[0]} to ${data.classes[data.classes.length - 1]}` : data.classes.slice(0, 10).join(", ");
  const left = data.networks_left_out.length ? ` (${data.networks_left_out.length} more do not fit into this page)` : "";
  const several = data.networks.length === 1 ? "The network of the report answers" : `The ${data.networks.length} networks of the report${left} answer`;
  byId("draw-lead").textContent = `${several} while you draw, with the probability of each class. Your drawing is scaled and centered as the training images were; the small picture is what the networks see.`;
  canvas = html("canvas", { width: SIDE, height: SIDE, tabindex: "0", role: "img", id: "canvas", "aria-label": `${what} here: ${names}. With the keyboard, arrow keys move the pen, and space sets it down or lifts it.` });
  preview = html("canvas", { id: "preview", role: "img", "aria-label": "What the networks see" });
  caption = html("p", { class: "note", "aria-live": "polite" });
  undo = html("button", { type: "button", onclick: () => change(() => (loaded === null ? strokes.pop() : (loaded = null))) }, "Undo");
  clear = html("button", { type: "button", onclick: erase }, "Clear");
  const withMistakes = data.networks.filter((network) => data.mistakes[network.model]?.length);
  const which = html("select", { "aria-label": "Model whose mistakes are shown" }, ...withMistakes.map((network) => html("option", { value: network.model }, network.model)));
  const favourite = data.answers.find((answer) => withMistakes.some((network) => network.model === answer.model))?.model;
  if (favourite) which.value = favourite;
  const shown = {};
  const show = html("button", { type: "button", id: "wrong", onclick: () => {
    const images = data.mistakes[which.value];
    shown[which.value] = ((shown[which.value] ?? -1) + 1) % images.length;
    change(() => (loaded = images[shown[which.value]]));
  } }, "Show me one it gets wrong");
  const chooser = withMistakes.length ? html("div", { class: "buttons" }, show, withMistakes.length > 1 ? html("label", {}, "it is ", which) : null) : null;
  cards = data.networks.map(card);
  byId("drawing").append(
    html("div", { class: "easel" }, html("div", { class: "paper" }, canvas), html("div", { class: "beside" }, html("div", { class: "buttons" }, undo, clear), html("figure", {}, preview, html("figcaption", {}, "what they see"))), chooser, caption),
    html("div", { class: "models", "aria-live": "off" }, ...cards.map(({ element }) => element)),
  );
  listen();
  drawDrawing();
}

function card(network) {
  const says = html("strong", { class: "says" }, "–");
  const bars = html("div", { class: data.classes.length > MANY_CLASSES || !numbered ? "bars wide" : "bars" });
  const accuracy = network.test_accuracy === null ? "" : `${percent(network.test_accuracy)} of the test images, `;
  const element = html("article", { class: "card model", "data-model": network.model },
    html("h3", {}, network.model), html("p", { class: "note" }, `${network.settings}: ${accuracy}${network.status ?? ""}`), says, bars);
  return { network, element, says, bars };
}

function listen() {
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  };
  let drawing = false;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    drawing = true;
    pen.shown = pen.down = false;
    change(() => {
      loaded = null;
      strokes.push([place(event)]);
    });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    const events = event.getCoalescedEvents?.() ?? [];
    change(() => strokes[strokes.length - 1].push(...(events.length ? events : [event]).map(place)));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (drawing = false));
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) change(() => {
        loaded = null;
        strokes.push([{ x: pen.x, y: pen.y }]);
      });
    } else if (event.key in moves) {
      pen.x = Math.min(Math.max(pen.x + moves[event.key][0] / 20, 0.05), 0.95);
      pen.y = Math.min(Math.max(pen.y + moves[event.key][1] / 20, 0.05), 0.95);
      if (pen.down) strokes[strokes.length - 1].push({ x: pen.x, y: pen.y });
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo.click();
    else return;
    event.preventDefault();
    pen.shown = true;
    change(() => {});
  });
}

function erase() {
  change(() => {
    strokes = [];
    loaded = null;
    pen.down = pen.shown = false;
  });
}

let waiting = false;

function change(action) {
  action();
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawDrawing();
  });
}

/** Draws the canvas, the preview and the answers; also needed when the theme changes. */
export function drawDrawing() {
  if (!data.drawing) return;
  const { height, width } = data.images;
  const image = loaded === null ? toImage(strokes, { height, width, box: data.drawing.box }) : pixelsOf(loaded);
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
    paper.fillText(numbered && data.classes.length === 10 ? "Draw a digit here" : "Draw here", SIDE / 2, SIDE / 2);
  }
  if (pen.shown) {
    paper.strokeStyle = property("model-1");
    paper.lineWidth = 2;
    paper.beginPath();
    paper.arc(pen.x * SIDE, pen.y * SIDE, pen.down ? 6 : 10, 0, 7);
    paper.stroke();
  }
  paint(preview, image ?? new Uint8Array(height * width), width);
  undo.disabled = clear.disabled = !strokes.length && loaded === null;
  caption.textContent = loaded === null ? "" : `Test image ${count(data.images.rows[loaded])}: its class is ${data.classes[data.images.labels[loaded]]}.`;
  for (const { network, says, bars, element } of cards) {
    const found = image && classify(layersOf(network), network.activation, image);
    answer(found, says, bars, element);
  }
}

function answer(found, says, bars, element) {
  const known = found && found.every((value) => Number.isFinite(value));
  const best = known ? found.indexOf(Math.max(...found)) : -1;
  says.textContent = !found ? "–" : known ? `${data.classes[best]}  ${percent(found[best], 0)}` : "its weights are no numbers";
  const right = loaded === null || !known ? "" : best === data.images.labels[loaded] ? "right" : "wrong";
  element.dataset.verdict = right;
  let shown = data.classes.map((_, place) => place);
  if (bars.classList.contains("wide") && shown.length > MANY_CLASSES) {
    shown = known ? shown.sort((a, b) => found[b] - found[a]).slice(0, 5) : shown.slice(0, 5);
  }
  bars.replaceChildren(...shown.map((place) => {
    const share = known ? found[place] : 0;
    return html("div", { class: place === best ? "bar best" : "bar", title: `${data.classes[place]}: ${percent(share)}` },
      html("span", { class: "fill", style: `--share:${share}` }), html("span", { class: "name" }, data.classes[place]));
  }));
  bars.setAttribute("role", "img");
  bars.setAttribute("aria-label", known ? shown.filter((place) => found[place] >= 0.01).map((place) => `${data.classes[place]} ${percent(found[place], 0)}`).join(", ") : "no answer");
}
