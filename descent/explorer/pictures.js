// Images, rows of images with what two runs answer, confusion matrices.

import { answerOf, data, longNames, pixelsOf } from "./data.js";
import { context, html, property, ramp } from "./elements.js";

/** Draws an image, dark ink on white paper in either theme. @param {ArrayLike<number>} pixels @param {number} width of the image */
export function paint(canvas, pixels, width) {
  const height = pixels.length / width;
  canvas.width = width;
  canvas.height = height;
  const found = canvas.getContext("2d");
  const image = found.createImageData(width, height);
  for (let place = 0; place < pixels.length; place++) {
    const shade = 255 - pixels[place];
    image.data.set([shade, shade, shade, 255], 4 * place);
  }
  found.putImageData(image, 0, 0);
}

/** A picture of an image of the page's data. @param {number} image */
export function picture(image) {
  const canvas = html("canvas", { role: "img", "aria-label": `Test image ${data.images.rows[image]}, class ${data.classes[data.images.labels[image]]}` });
  paint(canvas, pixelsOf(image), data.images.width);
  return canvas;
}

/** @param {"a" | "b"} side @param {import("./data.js").Run} run */
function verdict(side, run, frame, image) {
  const { predicted, percent, correct } = answerOf(run, frame, image);
  const words = predicted === null ? "no answer" : data.classes[predicted];
  return html("span", { class: `verdict ${side} ${correct ? "right" : "wrong"}`, title: `${words}, ${percent} %: ${correct ? "right" : "wrong"}` },
    html("span", { class: "key" }, side.toUpperCase()), html("b", {}, words), predicted === null ? null : html("i", {}, ` ${percent} %`),
    html("span", { class: "sign", "aria-label": correct ? "right" : "wrong" }, correct ? "✓" : "✗"));
}

/** A row of images, each with what the runs answer. */
export class Row {
  /** @param {HTMLElement} host @param {number[]} images */
  constructor(host, images) {
    host.classList.toggle("long", longNames);
    this.tiles = images.map((image) => {
      const words = html("div");
      host.append(html("figure", { class: "tile" }, picture(image), words));
      return { image, words };
    });
  }

  /** @param {{side: "a" | "b", run: import("./data.js").Run, frame: number}[]} shown */
  draw(shown) {
    for (const { image, words } of this.tiles) {
      words.replaceChildren(...shown.map(({ side, run, frame }) => verdict(side, run, frame, image)));
    }
  }
}

/** Twelve images, from those that most runs classify correctly to those that few do. @param {import("./data.js").Run[]} runs */
export function fromEasyToHard(runs) {
  const places = Array.from({ length: data.viewed }, (_, image) => image);
  const right = places.map((image) => runs.filter((run) => answerOf(run, run.epochs.length - 1, image).correct).length);
  const order = places.sort((a, b) => right[b] - right[a] || a - b);
  const shown = Math.min(12, order.length);
  const found = [];
  for (let place = 0; place < shown; place++) {
    // Most images are easy: the square root gives the hard ones more room.
    const share = shown > 1 ? Math.sqrt(place / (shown - 1)) : 0;
    found.push(order[Math.round(share * (order.length - 1))]);
  }
  return [...new Set(found)];
}

const NUMBERED_CLASSES = 20;

/** Draws a confusion matrix of the viewed images. @param {import("./data.js").Run} run @param {number} frame @returns {string} what it shows, in words */
export function confusion(canvas, run, frame) {
  const classes = data.classes.length;
  const counts = new Uint16Array(classes * classes);
  let right = 0;
  for (let image = 0; image < data.viewed; image++) {
    const { predicted, correct } = answerOf(run, frame, image);
    if (predicted !== null) counts[data.images.labels[image] * classes + predicted]++;
    if (correct) right++;
  }
  const labelled = classes <= NUMBERED_CLASSES;
  const side = 300;
  const top = labelled ? 18 : 2;
  const left = labelled && longNames ? 58 : top;
  const [wide, high] = [(side - left) / classes, (side - top) / classes];
  const found = context(canvas, side, side);
  const shades = [0, 1, 2, 3].map((place) => property(`mistakes-${place}`));
  const most = Math.max(1, ...counts.map((value, place) => (Math.floor(place / classes) === place % classes ? 0 : value)));
  found.textAlign = "center";
  found.textBaseline = "middle";
  found.font = `${Math.min(12, high * 0.5)}px ${getComputedStyle(document.body).fontFamily}`;
  counts.forEach((value, place) => {
    const [truth, predicted] = [Math.floor(place / classes), place % classes];
    const shade = value ? 0.25 + 0.75 * Math.sqrt(value / most) : 0;
    found.fillStyle = truth === predicted ? property("diagonal") : `rgb(${ramp(shades, shade)})`;
    const [x, y] = [left + predicted * wide, top + truth * high];
    found.fillRect(x + 0.5, y + 0.5, wide - 1, high - 1);
    if (value && labelled) {
      found.fillStyle = property("ink");
      found.fillText(String(value), x + wide / 2, y + high / 2);
    }
  });
  if (labelled) {
    found.fillStyle = property("faint");
    for (let name = 0; name < classes; name++) {
      found.fillText(data.classes[name].slice(0, Math.max(2, Math.floor(wide / 8))), left + (name + 0.5) * wide, top / 2);
      found.fillText(data.classes[name].slice(0, Math.floor(left / 7)), left / 2, top + (name + 0.5) * high);
    }
  }
  const wrong = [...counts.keys()].filter((place) => counts[place] && Math.floor(place / classes) !== place % classes);
  const worst = wrong.sort((a, b) => counts[b] - counts[a])[0];
  const share = `${right} of ${data.viewed} test images are classified correctly`;
  if (worst === undefined || counts[worst] < 2) return `${share}.`;
  const [truth, predicted] = [Math.floor(worst / classes), worst % classes].map((name) => data.classes[name]);
  return `${share}. Most often, ${counts[worst]} times, ${truth} is classified as ${predicted}.`;
}

/** At most six misclassified images, those with the highest probability. @param {import("./data.js").Run} run @param {number} frame @returns {number[]} */
export function worstMistakes(run, frame) {
  const wrong = [];
  for (let image = 0; image < data.viewed; image++) {
    const answer = answerOf(run, frame, image);
    if (!answer.correct && answer.predicted !== null) wrong.push({ image, percent: answer.percent });
  }
  return wrong.sort((a, b) => b.percent - a.percent || a.image - b.image).slice(0, 6).map(({ image }) => image);
}
