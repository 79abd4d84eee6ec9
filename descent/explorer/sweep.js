// The sweep as a control: a grid of runs, two of which are compared, and a player through their epochs.

import { Chart } from "./charts.js";
import { answerOf, cells, data, placeAt, settings, studied, valueAt } from "./data.js";
import { byId, html, ramp, still } from "./elements.js";
import { count, counted, number, percent, rate } from "./format.js";
import { Row, confusion, fromEasyToHard, picture, worstMistakes } from "./pictures.js";
import { Surface, fittingZoom } from "./surface.js";

/** @typedef {import("./data.js").Run} Run */

const VIRIDIS = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];
const SECONDS_PER_EPOCH = 1.1;
const SECONDS_AT_MOST = 9;

const grid = data.sweep;
const guessing = Math.log(data.classes.length);

const STATUSES = {
  learned: "The steps have a suitable size: the loss fell below half of guessing.",
  undertrained: "When training ended, the loss had not fallen below half of guessing.",
  stalled: "The steps are so small that nothing changes.",
  collapsed: "The steps are so large that they lead to a place that is no better than guessing.",
  diverged: "Steps overshoot, and the loss grew far above guessing.",
};

/** @type {{optimizer: string, seed: number, chosen: Run, pinned: Run | null, time: number, zoom: number}} */
const state = { optimizer: cells[0].optimizer, seed: grid.seeds[0], chosen: cells[0], pinned: null, time: 0, zoom: 0 };

let charts, surface, row, playing;

/** Sets the section up. */
export function startSweep() {
  if (grid.optimizers.includes("sgd")) state.optimizer = "sgd";
  state.chosen = best(shownCells());
  const beside = shownCells().filter((run) => run.learning_rate === state.chosen.learning_rate && run !== state.chosen);
  state.pinned = beside[beside.length - 1] ?? null;
  state.time = lastEpoch();
  byId("runs-lead").textContent = `Each square is a network that was trained for ${counted(grid.epochs, "epoch")}, with its own batch size and learning rate. Choose one, by mouse, touch or arrow keys, and see how it learns. “Pin”, or Enter, keeps it as B, and the next one is compared with it.`;
  selects();
  charts = {
    loss: new Chart(byId("loss"), "Training loss by epoch of the chosen and the pinned run"),
    accuracy: new Chart(byId("accuracy"), "Validation accuracy by epoch of the chosen and the pinned run"),
  };
  for (const chart of Object.values(charts)) chart.onPoint((/** @type {number} */ epoch) => goTo(Math.round(epoch)));
  surface = new Surface(byId("surface"), (zoom) => {
    state.zoom = zoom;
    drawSurface();
    byId(`zoom-${zoom}`).focus();
    moveMarks();
  });
  row = new Row(byId("row"), fromEasyToHard(cells));
  startPlayer();
  drawGrid();
  chosenChanged();
}

function shownCells() {
  const found = cells.filter((run) => run.optimizer === state.optimizer && run.seed === state.seed);
  return found.sort((a, b) => a.batch_size - b.batch_size || a.learning_rate - b.learning_rate);
}

function lastAccuracy(run) {
  return run.validation_accuracy[run.epochs.length - 1] ?? 0;
}

function best(runs) {
  return runs.reduce((found, run) => (lastAccuracy(run) > lastAccuracy(found) ? run : found));
}

function shownRuns() {
  const found = [{ side: "a", run: state.chosen }];
  return state.pinned ? [...found, { side: "b", run: state.pinned }] : found;
}

function lastEpoch() {
  return Math.max(...shownRuns().map(({ run }) => run.epochs[run.epochs.length - 1]));
}

// The grid

function selects() {
  const choices = [["optimizer", grid.optimizers, "Optimizer"], ["seed", grid.seeds, "Seed"]];
  for (const [key, values, label] of choices) {
    if (values.length < 2) continue;
    const options = values.map((value) => html("option", { value, selected: value === state[key] }, String(value)));
    const select = html("select", { onchange: (event) => {
      state[key] = values[event.target.selectedIndex];
      const same = shownCells().find((run) => run.batch_size === state.chosen.batch_size && run.learning_rate === state.chosen.learning_rate);
      drawGrid();
      choose(same ?? shownCells()[0]);
    } }, ...options);
    byId("selects").append(html("label", {}, `${label} `, select));
  }
  if (grid.seeds_left_out) byId("selects").append(html("span", { class: "note" }, `${counted(grid.seeds_left_out, "more seed")} in reports/sweep.csv`));
}

function errorRange(runs) {
  const errors = runs.filter((run) => !data.signs[run.status]).map((run) => 1 - lastAccuracy(run));
  const high = errors.length ? Math.min(1, Math.max(...errors, 0.01)) : 1;
  return [Math.min(errors.length ? Math.max(Math.min(...errors), 0.001) : 0.5, high / 2), high];
}

function drawGrid() {
  const runs = shownCells();
  const [low, high] = errorRange(runs).map(Math.log);
  const rates = [...new Set(runs.map((run) => run.learning_rate))].sort((a, b) => a - b);
  const sizes = [...new Set(runs.map((run) => run.batch_size))].sort((a, b) => a - b);
  const working = runs.filter((run) => !data.not_learned.includes(run.status));
  const bestOfRow = new Map(sizes.map((size) => [size, working.filter((run) => run.batch_size === size)]).filter(([, found]) => found.length).map(([size, found]) => [size, best(found)]));
  const head = html("tr", {}, html("th", { scope: "col", class: "corner" }, "batch size"), ...rates.map((value) => html("th", { scope: "col" }, rate(value))));
  const rows = sizes.map((size) => html("tr", {}, html("th", { scope: "row", title: count(size) }, size === grid.training_images ? "full" : count(size)), ...rates.map((value) => {
    const run = runs.find((entry) => entry.batch_size === size && entry.learning_rate === value);
    return run ? cell(run, low, high, run === bestOfRow.get(size)) : html("td", {});
  })));
  const axis = html("tr", {}, html("th", { class: "corner" }), html("th", { colspan: rates.length, class: "axis-title" }, "learning rate"));
  byId("grid").style.minWidth = `${3 + 2 * rates.length}rem`;
  byId("grid").replaceChildren(html("thead", {}, axis, head), html("tbody", {}, ...rows));
  const signs = Object.entries(data.signs).filter(([name]) => runs.some((run) => run.status === name));
  const signWords = signs.map(([name, sign]) => `${sign} ${name}`).join(", ");
  byId("grid-note").textContent = `Validation accuracy in percent after the last epoch; brighter is better, and the best learning rate of each batch size is framed.${signWords ? ` ${signWords}.` : ""}`;
  if (studied.length) {
    const last = studied[0].epochs[studied[0].epochs.length - 1];
    const buttons = studied.map((run) => html("button", { type: "button", "data-model": run.model, title: settings(run), onclick: () => choose(run) }, run.model));
    byId("studied").replaceChildren(html("p", { class: "note" }, `Or a model of the report, trained for ${counted(last, "epoch")}:`), html("div", { class: "chips", role: "group", "aria-label": "Models of the report" }, ...buttons));
  }
}

function cell(run, low, high, framed) {
  const sign = data.signs[run.status];
  const share = (high - Math.log(Math.max(1 - lastAccuracy(run), 1e-9))) / (high - low);
  const color = ramp(VIRIDIS, share);
  const words = `${settings(run)}: ${run.status}, ${percent(lastAccuracy(run))}`;
  const style = sign ? null : `--cell:rgb(${color});color:${share > 0.45 ? "#000" : "#fff"}`;
  const found = html("td", {
    role: "gridcell", tabindex: "-1", style, class: `${sign ? "failed" : ""} ${framed ? "framed" : ""}`,
    "aria-label": words, title: words,
    onclick: () => choose(run), onkeydown: (event) => onKey(event, run),
  }, sign || (100 * lastAccuracy(run)).toFixed(1));
  found.run = run;
  return found;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event, run) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (["Enter", " ", "p"].includes(event.key)) {
    event.preventDefault();
    pin();
    return;
  }
  const td = event.currentTarget;
  const places = [...td.parentElement.children];
  const rows = [...td.closest("tbody").children];
  let [column, line] = [places.indexOf(td), rows.indexOf(td.parentElement)];
  if (event.key === "Home") column = 1;
  else if (event.key === "End") column = places.length - 1;
  else if (event.key in ARROWS) {
    column += ARROWS[event.key][0];
    line += ARROWS[event.key][1];
  } else return;
  event.preventDefault();
  const next = rows[line]?.children[column];
  if (!next?.run) return;
  choose(next.run);
  next.focus();
}

/** @param {Run} run */
function choose(run) {
  state.chosen = run;
  chosenChanged();
}

function pin() {
  state.pinned = state.chosen;
  chosenChanged();
}

function chosenChanged() {
  stop();
  const last = lastEpoch();
  const ended = state.time >= Number(byId("epoch").max);
  byId("epoch").max = last;
  state.time = ended ? last : Math.min(state.time, last); // who went to an epoch compares other runs there
  for (const td of byId("grid").querySelectorAll("td")) {
    const chosen = td.run === state.chosen;
    td.setAttribute("aria-selected", String(chosen));
    td.tabIndex = chosen || (state.chosen.model && td === byId("grid").querySelector("td")) ? 0 : -1;
    td.classList.toggle("a", chosen);
    td.classList.toggle("b", td.run === state.pinned);
  }
  for (const button of byId("studied").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(state.chosen.model === button.dataset.model));
    button.classList.toggle("b", state.pinned?.model === button.dataset.model);
  }
  drawAll();
}

// Drawing

/** Draws what depends on the chosen runs; also needed when the theme changes. */
export function drawAll() {
  const focused = document.activeElement?.id;
  drawCards();
  drawCurves();
  state.zoom = fittingZoom(frames(), shownRuns().map(({ run }) => run));
  drawSurface();
  drawPair();
  drawnFrames = "";
  moveMarks();
  if (focused === "pin" || focused === "unpin") (byId(focused) ?? byId("pin")).focus();
}

function drawCards() {
  for (const side of ["a", "b"]) {
    const run = side === "a" ? state.chosen : state.pinned;
    const card = byId(`card-${side}`);
    if (!run) {
      card.replaceChildren(html("p", { class: "who" }, html("span", { class: "key b" }, "B"), " nothing pinned"), html("p", { class: "note" }, "Pin a run, and it is compared with the one that you choose next."));
      continue;
    }
    const last = run.epochs.length - 1;
    const button = side === "a"
      ? html("button", { type: "button", id: "pin", onclick: pin, "aria-label": "Pin this run, to compare others with it" }, "Pin as B")
      : html("button", { type: "button", id: "unpin", onclick: () => { state.pinned = null; chosenChanged(); }, "aria-label": "Remove the pinned run" }, "Remove");
    card.replaceChildren(
      html("p", { class: "who" }, html("span", { class: `key ${side}` }, side.toUpperCase()), ` ${side === "a" ? "chosen" : "pinned"}${run.model ? `: ${run.model}` : ""}`, button),
      html("p", { class: "settings" }, settings(run)),
      html("p", { class: "figures" }, html("strong", {}, percent(lastAccuracy(run))), html("span", { class: `status ${data.not_learned.includes(run.status) ? "bad" : run.status}` }, run.status)),
      html("p", {}, STATUSES[run.status]),
      html("p", { class: "note" }, `${counted(run.updates[last], "update")} in ${counted(run.epochs[last], "epoch")}. All weights together moved ${number(run.distance)} from the start.`),
    );
  }
}

function drawCurves() {
  const lines = (key) => shownRuns().map(({ side, run }) => ({ side, x: run.epochs, y: run[key] }));
  const known = shownRuns().flatMap(({ run }) => run.train_loss).filter((value) => value !== null && value > 0);
  const top = Math.max(1.5 * guessing, ...known.map((value) => Math.min(value, 6 * guessing)));
  const low = Math.min(...known, guessing / 2);
  const x = /** @type {[number, number]} */ ([0, lastEpoch()]);
  charts.loss.draw({ x, y: [low / 1.3, top * 1.1], log: true, title: "epoch", rule: { y: guessing, words: "guessing" } }, lines("train_loss"));
  const accuracy = { x, y: /** @type {[number, number]} */ ([0, 1]), log: false, title: "epoch", label: (value) => `${Math.round(100 * value)} %`, rule: { y: 1 / data.classes.length, words: "guessing" } };
  charts.accuracy.draw(accuracy, lines("validation_accuracy"));
}

function frames() {
  return data.surfaces[state.chosen.seed] ?? data.surfaces[state.seed] ?? [];
}

function drawSurface() {
  const found = frames();
  const runs = shownRuns().filter(({ run }) => run.trajectory.length && run.seed === state.chosen.seed);
  const note = byId("surface-note");
  byId("surface").hidden = !found.length;
  if (!found.length) {
    note.textContent = "there is none: the plane of this seed could not be computed";
    return;
  }
  const shares = runs.filter(({ run }) => run.explained !== null).map(({ side, run }) => `${percent(run.explained, 0)} of ${side.toUpperCase()}’s movement`);
  const missing = shownRuns().filter((entry) => !runs.some(({ side }) => side === entry.side)).map(({ side }) => `${side.toUpperCase()} is not in it: another network or seed. `);
  note.textContent = `${missing.join("")}A point per epoch, on a plane in the space of all weights${shares.length ? ` that explains ${shares.join(" and ")}` : ""}.`;
  surface.draw(found, state.zoom, runs);
}

function drawPair() {
  byId("pair").replaceChildren(...shownRuns().map(({ side, run }) => html("div", { "data-side": side },
    html("h3", {}, html("span", { class: `key ${side}` }, side.toUpperCase()), ` ${run.model ?? settings(run)}`),
    html("div", { class: "matrix" },
      html("figure", {}, html("figcaption", {}, "Confusion matrix ", html("span", {}, "rows: true class, columns: predicted")), html("canvas", { role: "img" })),
      html("figure", {}, html("figcaption", {}, "Most confident mistakes"), html("div", { class: "mistakes" }))),
    html("p", { class: "note sum" }))));
}

let drawnFrames = "";

/** Draws what depends on the time: the marks at once, pictures only when a run reaches another epoch. */
function moveMarks() {
  const shown = shownRuns().map(({ side, run }) => ({ side, run, at: placeAt(run, state.time) }));
  for (const { side, run, at } of shown) {
    const epoch = Math.min(state.time, run.epochs[run.epochs.length - 1]);
    charts.loss.move(side, epoch, valueAt(run.train_loss, at, true));
    charts.accuracy.move(side, epoch, valueAt(run.validation_accuracy, at));
    if (frames().length) surface.move(side, at);
  }
  drawValues("loss-values", shown, ({ run, at }) => number(run.train_loss[at.frame]));
  drawValues("accuracy-values", shown, ({ run, at }) => percent(run.validation_accuracy[at.frame]));
  const reached = Math.floor(state.time + 1e-9);
  byId("epoch").value = String(state.time);
  const words = shown.map(({ side, run, at }) => `${side.toUpperCase()}: ${counted(run.updates[at.frame], "update")}`);
  byId("epoch-word").textContent = `epoch ${reached} of ${lastEpoch()} · ${words.join(", ")}`;
  byId("epoch").setAttribute("aria-valuetext", `epoch ${reached} of ${lastEpoch()}`);
  const key = shown.map(({ at }) => at.frame).join();
  if (key !== drawnFrames) drawPictures(shown);
  drawnFrames = key;
}

function drawValues(id, shown, value) {
  byId(id).replaceChildren(...shown.flatMap((entry) => [html("span", { class: `key ${entry.side}` }, entry.side.toUpperCase()), ` ${value(entry)} `]));
}

function drawPictures(shown) {
  row.draw(shown.map(({ side, run, at }) => ({ side, run, frame: at.frame })));
  for (const { side, run, at } of shown) {
    const half = byId("pair").querySelector(`[data-side=${side}]`);
    const canvas = half.querySelector("canvas");
    const words = confusion(canvas, run, at.frame);
    canvas.setAttribute("aria-label", `Confusion matrix. ${words}`);
    half.querySelector(".sum").textContent = words;
    const wrong = worstMistakes(run, at.frame);
    const tiles = wrong.map((image) => {
      const { predicted, percent: sure } = answerOf(run, at.frame, image);
      return html("figure", { class: "tile" }, picture(image), html("figcaption", {}, `${data.classes[data.images.labels[image]]} → ${data.classes[predicted]}`, html("i", {}, `${sure} %`)));
    });
    half.querySelector(".mistakes").replaceChildren(...(tiles.length ? tiles : [html("p", { class: "note" }, "None of these images is misclassified.")]));
  }
}

// The player

function startPlayer() {
  byId("play").addEventListener("click", () => (playing ? stop() : play()));
  byId("epoch").addEventListener("input", (event) => goTo(Number(event.target.value)));
}

/** @param {number} epoch */
function goTo(epoch) {
  stop();
  state.time = epoch;
  moveMarks();
}

function play() {
  const last = lastEpoch();
  if (state.time >= last) state.time = 0;
  const speed = 1 / Math.min(SECONDS_PER_EPOCH, SECONDS_AT_MOST / last);
  const from = { time: state.time, at: performance.now() };
  showPlaying(true);
  const step = (now) => {
    const elapsed = (now - from.at) / 1000;
    const time = Math.min(from.time + elapsed * speed, last);
    state.time = still() ? Math.floor(time + 1e-9) : Math.max(time, 0);
    moveMarks();
    if (time >= last) stop();
    else playing = requestAnimationFrame(step);
  };
  moveMarks();
  playing = requestAnimationFrame(step);
}

function stop() {
  if (playing) cancelAnimationFrame(playing);
  playing = 0;
  state.time = Math.floor(state.time + 1e-9);
  showPlaying(false);
}

function showPlaying(on) {
  byId("epoch").step = on ? "any" : "1"; // whole epochs by hand, smoothly while playing
  byId("play-sign").textContent = on ? "❚❚" : "▶";
  byId("play-word").textContent = on ? "Pause" : "Play";
  byId("play").setAttribute("aria-label", on ? "Pause" : "Play through the epochs");
}
