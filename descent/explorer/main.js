// Sets up the page.

import { data, layersOf, pixelsOf } from "./data.js";
import { drawDrawing, startDrawing } from "./draw.js";
import { byId, html } from "./elements.js";
import { percent } from "./format.js";
import { classify } from "./network.js";
import { drawAll, startSweep } from "./sweep.js";
import { startValley } from "./valley.js";

byId("answers").append(...data.answers.map((/** @type {any} */ entry) => html("li", {},
  html("span", {}, entry.question),
  html("strong", {}, entry.answer),
  html("span", {}, entry.model === null ? "no model learned anything" : `${entry.fixed ? `at ${entry.fixed}: ` : ""}${percent(entry.accuracy)} of the validation images (${entry.tie ? "the highest mean, of " : ""}${entry.model})`))));
startSweep();
startDrawing();
startValley();

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  drawAll();
  drawDrawing();
});

/** For the console, and for tests: the data, and what a network answers for pixels from 0 to 255. */
Object.assign(window, { explorer: { data, pixelsOf, classify: (/** @type {any} */ network, /** @type {any} */ pixels) => classify(layersOf(network), network.activation, pixels) } });
document.body.dataset.ready = "true";
