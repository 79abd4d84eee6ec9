// A ball in a parabola: what the learning rate and the noise of small batches do to one weight.

import { Chart } from "./charts.js";
import { cells, data, studied } from "./data.js";
import { byId, html, still, svg } from "./elements.js";
import { count, counted, listed, number, percent, rate } from "./format.js";

/** @typedef {import("./data.js").Run} Run */

const STEPS = 40;
const STEPS_PER_SECOND = 6;
const WIDTH_PX = 560;
const HEIGHT_PX = 330;
const REACH = 1.5; // the picture shows weights from -REACH to REACH
const NOISE = 0.6; // deviation of the slope with batch size 1, as a share of the slope at the start
const LOWEST = 1e-4; // the bottom of the chart of heights

const row = sweepRow();
const learned = ratesOf(row, "learned");
const fast = ratesOf(row, "collapsed", "diverged").filter((value) => value > Math.max(0, ...learned));
const slow = ratesOf(row, "stalled", "undertrained");
const curvature = 2 / limit();
const state = { rate: 0, batch: 1, seed: 1, start: -1, path: [-1] };
let picture, chart, timer, sliders;

/**
 * The runs of the sweep with one batch size, by rising learning rate: by plain gradient descent if there are any, and
 * with the batch size that most models of the studies have.
 */
function sweepRow() {
  const first = cells.find((run) => run.optimizer === "sgd") ?? cells[0];
  const alike = cells.filter((run) => run.optimizer === first.optimizer && run.seed === first.seed);
  const models = (/** @type {number} */ size) => studied.filter((run) => run.batch_size === size).length;
  const size = alike.map((run) => run.batch_size).reduce((best, other) => (models(other) > models(best) ? other : best));
  return alike.filter((run) => run.batch_size === size).sort((a, b) => a.learning_rate - b.learning_rate);
}

/** @param {Run[]} runs @param {...string} statuses */
function ratesOf(runs, ...statuses) {
  return runs.filter((run) => statuses.includes(run.status)).map((run) => run.learning_rate);
}

/** The learning rate at which steps leave the valley: between the last one that learned and the first one that failed, if there are both. */
function limit() {
  const [last, largest] = [learned[learned.length - 1], slow[slow.length - 1] ?? 1];
  return last ? Math.sqrt(last * (fast[0] ?? 100 * last)) : fast[0] ?? 10 * largest;
}

/** Sets the section up. */
export function startValley() {
  sliders = {
    rate: slider("Learning rate: how far a step goes", "rate", -7, Math.max(2, Math.log10(3 / curvature)), 0.05, Math.log10(0.3 / curvature)),
    batch: slider("Batch size: the smaller, the noisier the slope", "batch", 0, Math.log2(data.sweep.training_images), "any", Math.log2(row[0].batch_size)),
    start: slider("Start: where the ball is let go; or click in the valley", "start", -1.45, 1.45, 0.01, state.start),
  };
  const presets = [["creep", 1e-7], ["converge", 0.3 / curvature], ["oscillate", 1.8 / curvature], ["diverge", 2.3 / curvature]];
  const buttons = presets.map(([word, value]) => html("button", { type: "button", onclick: () => {
    sliders.rate.input.value = String(Math.log10(value));
    roll();
  } }, word));
  picture = svg("svg", { viewBox: `0 0 ${WIDTH_PX} ${HEIGHT_PX}`, role: "img", "aria-label": "A ball in a valley", class: "valley" });
  const startHere = (/** @type {any} */ event) => {
    const box = picture.getBoundingClientRect();
    sliders.start.input.value = String(((2 * (event.clientX - box.left)) / box.width - 1) * REACH);
    roll();
  };
  picture.addEventListener("click", startHere);
  picture.addEventListener("pointermove", (event) => event.pointerType === "mouse" && event.buttons === 1 && startHere(event));
  const host = html("div", {});
  byId("rolling").append(
    html("figure", {}, picture),
    html("figure", { class: "heights" }, html("figcaption", {}, "Height by step ", html("span", {}, "loss, log scale")), host),
    html("div", { class: "controls" },
      ...Object.values(sliders).map(({ label }) => label),
      html("div", { class: "buttons" }, html("button", { type: "button", class: "primary", onclick: () => { state.seed++; roll(); } }, "Roll again"), ...buttons),
    ),
    html("div", { class: "words" }, html("p", { id: "verdict", "aria-live": "polite" }), html("p", { id: "valley-words" })),
  );
  chart = new Chart(host, "Height of the ball by step");
  byId("valley-words").textContent = `${sweepWords()} This valley is made about as steep: a step jumps over the bottom from a learning rate of ${number(1 / curvature, 2)}, and from ${number(2 / curvature, 2)} it lands higher than it started. The loss of a network is such a valley in each of very many directions. The steepest decides which rates are possible, and the flattest how many steps it takes. Small batches make many noisy steps for the price of one exact step; near the bottom the noise keeps the ball trembling, and a smaller rate calms it.`;
  roll();
  new IntersectionObserver(([entry], observer) => {
    if (!entry.isIntersecting) return;
    observer.disconnect();
    roll();
  }, { threshold: 0.5 }).observe(picture);
}

function slider(words, id, min, max, step, value) {
  const output = html("output", { id: `${id}-word` });
  const input = html("input", { type: "range", min, max, step, value, id: `valley-${id}`, "aria-label": words, oninput: roll });
  return { input, output, label: html("label", {}, html("span", {}, words), output, input) };
}

function sweepWords() {
  const groups = [["crept at", slow], ["learned at", learned], ["was thrown out of the valley at", fast]];
  const words = groups.filter(([, rates]) => rates.length).map(([verb, rates]) => `${verb} ${listed(rates.map(rate))}`);
  const { batch_size: size, epochs } = row[0];
  const last = epochs[epochs.length - 1];
  return `In the sweep, batch size ${count(size)} ${listed(words)}, within ${counted(last, "epoch")}.`;
}

/** The path of the weight; the noise depends on the seed alone. */
function descend(start, learningRate, batch, seed) {
  const noise = normal(seed);
  const path = [start];
  for (let step = 0; step < STEPS; step++) {
    const at = path[step];
    const slope = curvature * at + (curvature * NOISE * noise()) / Math.sqrt(batch);
    path.push(Math.max(Math.min(at - learningRate * slope, 1e150), -1e150));
  }
  return path;
}

/** Pseudo-random numbers of a normal distribution: Mulberry32, and Box and Muller's transform. */
function normal(seed) {
  let current = seed * 2654435761;
  const uniform = () => {
    current = (current + 0x6d2b79f5) | 0;
    let mixed = Math.imul(current ^ (current >>> 15), 1 | current);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform() || 1e-9)) * Math.cos(2 * Math.PI * uniform());
}

/** @returns {string} what the ball does */
function behaviour(learningRate, batch) {
  const product = learningRate * curvature;
  const left = Math.abs(1 - product) ** STEPS;
  if (product >= 2) return `It diverges: each step jumps over the bottom and lands higher on the other side. After ${STEPS} steps its height is ${number(left ** 2)} times what it was.`;
  const needed = Math.ceil(Math.log(0.01) / Math.log1p(-Math.min(product, 1 - 1e-9)));
  if (left > 0.5 && product < 1) return `It creeps: after ${STEPS} steps ${percent(left, left > 0.999 ? 4 : 0)} of the way is left. For 99 % of the way it would need ${number(needed, 2)} steps.`;
  if (left > 0.5) return "It oscillates: it jumps from side to side and hardly comes closer.";
  const spread = (product * NOISE) / Math.sqrt(batch * product * (2 - product));
  const trembles = spread > 0.03 ? ` Then it trembles, ${number(spread, 2)} around the bottom, because slopes of ${counted(batch, "image")} are noisy.` : "";
  if (product > 1) return `It oscillates: each step jumps over the bottom, but lands lower.${trembles}`;
  return `It converges: ${counted(needed, "step")} cover${needed === 1 ? "s" : ""} 99 % of the way.${trembles}`;
}

function roll() {
  state.rate = Number((10 ** Number(sliders.rate.input.value)).toPrecision(2));
  state.batch = Math.round(2 ** Number(sliders.batch.input.value));
  state.start = Number(sliders.start.input.value);
  for (const [key, words] of [["rate", rate(state.rate)], ["batch", count(state.batch)], ["start", state.start.toFixed(2).replace("-", "−")]]) {
    sliders[key].output.textContent = words;
    sliders[key].input.setAttribute("aria-valuetext", words);
  }
  byId("verdict").textContent = behaviour(state.rate, state.batch);
  state.path = descend(state.start, state.rate, state.batch, state.seed);
  clearInterval(timer);
  drawChart();
  drawBall(still() ? STEPS : 0);
  if (still()) return;
  const started = performance.now();
  timer = setInterval(() => {
    const time = Math.min((performance.now() - started) / 1000 * STEPS_PER_SECOND, STEPS);
    drawBall(time);
    if (time >= STEPS) clearInterval(timer);
  }, 33);
}

/** @param {number} at a weight @returns {number} its height, as the chart shows it */
function height(at) {
  return Math.max(at * at, LOWEST);
}

function drawChart() {
  const axes = { x: /** @type {[number, number]} */ ([0, STEPS]), y: /** @type {[number, number]} */ ([LOWEST, 10]), log: true, title: "step", rule: { y: height(state.start), words: "start" } };
  chart.draw(axes, [{ side: "a", x: state.path.map((_, step) => step), y: state.path.map(height) }]);
}

function place(at) {
  return [WIDTH_PX / 2 + (at / REACH) * (WIDTH_PX / 2), HEIGHT_PX - 30 - ((at * at) / REACH ** 2) * (HEIGHT_PX - 50)];
}

/** Draws the ball between two steps: it jumps from one straight to the next. @param {number} time */
function drawBall(time) {
  const step = Math.floor(time);
  const [from, to] = [state.path[step], state.path[Math.min(step + 1, STEPS)]];
  const between = (a, b) => a + (b - a) * (time - step);
  const curve = Array.from({ length: 81 }, (_, point) => place(-REACH + (2 * REACH * point) / 80).map((value) => value.toFixed(1)).join()).join(" ");
  const parts = [svg("polyline", { points: curve, class: "slope" }), svg("text", { x: WIDTH_PX / 2, y: HEIGHT_PX - 8, "text-anchor": "middle", class: "faint" }, "the bottom: the best weight")];
  const trail = state.path.slice(Math.max(0, step - 12), step + 1).filter((value) => Math.abs(value) <= REACH);
  trail.forEach((value, index) => {
    const [x, y] = place(value);
    if (index) {
      const [x0, y0] = place(trail[index - 1]);
      parts.push(svg("line", { x1: x0, y1: y0, x2: x, y2: y, class: "jump", style: `opacity:${(0.15 + 0.6 * index / trail.length).toFixed(2)}` }));
    }
    parts.push(svg("circle", { cx: x, cy: y, r: 3, class: "dot a" }));
  });
  const [[x0, y0], [x1, y1]] = [place(from), place(to)];
  const [x, y] = [between(x0, x1), between(y0, y1)];
  if (Math.abs(from) > REACH || y < 0) {
    parts.push(svg("text", { x: WIDTH_PX / 2, y: 44, "text-anchor": "middle", class: "gone" }, `out of the picture, ${number(Math.max(from * from, REACH ** 2))} high`));
  } else {
    parts.push(svg("circle", { cx: x, cy: y - 9, r: 10, class: "ball" }));
  }
  parts.push(svg("text", { x: WIDTH_PX / 2, y: 18, "text-anchor": "middle", id: "step-word" }, `step ${step} of ${STEPS}`));
  picture.replaceChildren(...parts);
  chart.move("a", time, Math.exp(between(Math.log(height(from)), Math.log(height(to)))));
}
