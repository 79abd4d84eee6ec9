// A ball in a parabola: what the learning rate and the noise of small batches do to one weight.

import { Chart } from "./charts.js";
import { data } from "./data.js";
import { byId, html, still, svg } from "./elements.js";
import { count, number, rate } from "./format.js";

const STEPS = 40;
const STEPS_PER_SECOND = 6;
const WIDTH_PX = 560;
const HEIGHT_PX = 330;
const REACH = 1.5; // the picture shows weights from -REACH to REACH
const NOISE = 0.6; // deviation of the slope with batch size 1, as a share of the slope at the start

const { curvature } = data.valley;
const state = { rate: 0.3 / curvature, batch: data.valley.batch_size, seed: 1, start: -1, path: [-1] };
let picture, chart, timer, rateSlider, batchSlider;

/** Sets the section up. */
export function startValley() {
  const most = data.sweep.training_images;
  rateSlider = html("input", { type: "range", min: -7, max: 2, step: 0.05, value: Math.log10(state.rate), id: "valley-rate", "aria-label": "Learning rate", oninput: roll });
  batchSlider = html("input", { type: "range", min: 0, max: Math.log2(most), step: "any", value: Math.log2(state.batch), id: "valley-batch", "aria-label": "Batch size", oninput: roll });
  const presets = [["creep", 1e-7], ["converge", 0.3 / curvature], ["oscillate", 1.8 / curvature], ["diverge", 2.3 / curvature]];
  const buttons = presets.map(([word, value]) => html("button", { type: "button", onclick: () => {
    rateSlider.value = String(Math.log10(value));
    roll();
  } }, word));
  picture = svg("svg", { viewBox: `0 0 ${WIDTH_PX} ${HEIGHT_PX}`, role: "img", "aria-label": "A ball in a valley", class: "valley" });
  const startHere = (/** @type {any} */ event) => {
    const box = picture.getBoundingClientRect();
    state.start = Math.max(Math.min((2 * (event.clientX - box.left)) / box.width - 1, 0.97), -0.97) * REACH;
    roll();
  };
  picture.addEventListener("click", startHere);
  picture.addEventListener("pointermove", (event) => event.pointerType === "mouse" && event.buttons === 1 && startHere(event));
  const host = html("div", {});
  byId("rolling").append(
    html("figure", {}, picture, html("p", { class: "note" }, "Click in the valley, and the ball starts there.")),
    html("figure", { class: "heights" }, html("figcaption", {}, "Height by step ", html("span", {}, "loss, log scale")), host),
    html("div", { class: "controls" },
      html("label", {}, html("span", {}, "Learning rate: how far a step goes"), html("output", { id: "rate-word" }), rateSlider),
      html("label", {}, html("span", {}, "Batch size: the smaller, the noisier the slope"), html("output", { id: "batch-word" }), batchSlider),
      html("div", { class: "buttons" }, html("button", { type: "button", class: "primary", onclick: () => { state.seed++; roll(); } }, "Roll again"), ...buttons),
    ),
    html("div", { class: "words" }, html("p", { id: "verdict", "aria-live": "polite" }), html("p", { id: "valley-words" })),
  );
  chart = new Chart(host, "Height of the ball by step");
  const { words } = data.valley;
  byId("valley-words").textContent = `${words} This valley is as steep as that: a step jumps over the bottom from a learning rate of ${number(1 / curvature, 2)}, and from ${number(2 / curvature, 2)} it lands higher than it started. The loss of a network is such a valley in each of very many directions. The steepest decides which rates are possible, and the flattest how many steps it takes. Small batches make many noisy steps for the price of one exact step; near the bottom the noise keeps the ball trembling, and a smaller rate calms it.`;
  roll();
}

/** The path of the weight; the noise depends on the seed alone. */
export function descend(start, learningRate, batch, seed, steps = STEPS) {
  const noise = normal(seed);
  const path = [start];
  for (let step = 0; step < steps; step++) {
    const at = path[path.length - 1];
    const slope = curvature * at + (curvature * NOISE * noise()) / Math.sqrt(batch);
    path.push(Math.max(Math.min(at - learningRate * slope, 1e150), -1e150));
  }
  return path;
}

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
export function behaviour(learningRate, batch) {
  const product = learningRate * curvature;
  const left = Math.abs(1 - product) ** STEPS;
  if (product >= 2) return `It diverges: each step jumps over the bottom and lands higher on the other side. After ${STEPS} steps its height is ${number(left ** 2)} times what it was.`;
  if (left > 0.5) {
    const needed = Math.log(0.01) / Math.log1p(-product);
    const oscillates = product > 1 ? "It jumps from side to side and hardly comes closer" : `It creeps: after ${STEPS} steps ${percentOf(left)} of the way is left`;
    return product > 1 ? `${oscillates}.` : `${oscillates}. For 99 % of the way it would need ${number(needed, 2)} steps.`;
  }
  const spread = (learningRate * curvature * NOISE) / Math.sqrt(batch * product * (2 - product));
  const trembles = spread > 0.03 ? ` Then it trembles, ${number(spread, 2)} around the bottom, because slopes of ${count(batch)} ${batch === 1 ? "image" : "images"} are noisy.` : "";
  if (product > 1) return `It oscillates: each step jumps over the bottom, but lands lower.${trembles}`;
  const needed = Math.ceil(Math.log(0.01) / Math.log(Math.max(1 - product, 1e-9)));
  return `It converges: ${count(needed)} ${needed === 1 ? "step covers" : "steps cover"} 99 % of the way.${trembles}`;
}

function percentOf(left) {
  const text = (100 * left).toFixed(left > 0.999 ? 4 : 0);
  return `${text} %`;
}

function roll() {
  const position = Number(rateSlider.value);
  state.rate = Number((10 ** position).toPrecision(2));
  state.batch = Math.min(Math.max(Math.round(2 ** Number(batchSlider.value)), 1), data.sweep.training_images);
  byId("rate-word").textContent = rate(state.rate);
  byId("batch-word").textContent = count(state.batch);
  rateSlider.setAttribute("aria-valuetext", rate(state.rate));
  batchSlider.setAttribute("aria-valuetext", count(state.batch));
  byId("verdict").textContent = behaviour(state.rate, state.batch);
  state.path = descend(state.start, state.rate, state.batch, state.seed);
  clearInterval(timer);
  drawChart();
  if (still()) {
    drawBall(STEPS);
    return;
  }
  drawBall(0);
  const started = performance.now();
  timer = setInterval(() => {
    const step = Math.min((performance.now() - started) / 1000 * STEPS_PER_SECOND, STEPS);
    drawBall(step);
    if (step >= STEPS) clearInterval(timer);
  }, 33);
}

function drawChart() {
  const heights = state.path.map((at) => Math.max(at * at, 1e-12));
  chart.draw({ x: [0, STEPS], y: [1e-4, 10], log: true, title: "step", rule: { y: Math.max(state.start ** 2, 1e-4), words: "start" } }, [{ side: "a", x: heights.map((_, step) => step), y: heights.map((height) => Math.max(height, 1e-4)) }]);
}

function place(at) {
  return [WIDTH_PX / 2 + (at / REACH) * (WIDTH_PX / 2), HEIGHT_PX - 30 - ((at * at) / REACH ** 2) * (HEIGHT_PX - 50)];
}

function drawBall(time) {
  const step = Math.floor(time);
  const from = state.path[step];
  const to = state.path[Math.min(step + 1, STEPS)];
  const at = from + (to - from) * (time - step);
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
  const height = at * at;
  if (Math.abs(at) > REACH) {
    const right = at > 0;
    parts.push(svg("text", { x: right ? WIDTH_PX - 8 : 8, y: 42, "text-anchor": right ? "end" : "start", class: "gone" }, `${right ? "" : "◀ "}out of the picture, ${number(height)} high${right ? " ▶" : ""}`));
  } else {
    const [x, y] = place(at);
    parts.push(svg("circle", { cx: x, cy: y - 9, r: 10, class: "ball" }));
  }
  parts.push(svg("text", { x: WIDTH_PX / 2, y: 18, "text-anchor": "middle", id: "step-word" }, `step ${step} of ${STEPS}`));
  picture.replaceChildren(...parts);
  chart.move("a", time, Math.max(height, 1e-4));
}
