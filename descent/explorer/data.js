// The page's data, decoded when they are first needed.

import { count, rate } from "./format.js";
import { bytes, decodeLayer } from "./network.js";

/**
 * @typedef {object} Run a run of the sweep, or, if it has a model, of a study
 * @property {string} [model]
 * @property {number} batch_size
 * @property {number} learning_rate
 * @property {string} optimizer
 * @property {number} seed
 * @property {string} status
 * @property {number[]} epochs
 * @property {number[]} updates
 * @property {(number | null)[]} train_loss
 * @property {(number | null)[]} validation_accuracy
 * @property {number | null} distance
 * @property {[number | null, number | null][]} trajectory
 * @property {number | null} explained
 * @property {string} view
 */

export const data = JSON.parse(document.getElementById("data").textContent);

/** @type {Run[]} the runs of the sweep */
export const cells = data.runs.filter((/** @type {Run} */ run) => !run.model);

/** @type {Run[]} the runs of the models in the studies */
export const studied = data.runs.filter((/** @type {Run} */ run) => run.model);

/** Whether the classes are called by their numbers. */
export const numbered = data.classes.every((/** @type {string} */ name, /** @type {number} */ place) => name === String(place));

/** Whether the name of a class needs more room than a number. */
export const longNames = data.classes.some((/** @type {string} */ name) => name.length > 3);

const NONE = 65535;
const decoded = new Map();

/**
 * What a run answers.
 * @param {Run} run
 * @param {number} frame a place in run.epochs
 * @param {number} image a place among the first data.viewed images
 * @returns {{predicted: number | null, percent: number, correct: boolean}}
 */
export function answerOf(run, frame, image) {
  if (!decoded.has(run)) {
    const content = bytes(run.view);
    const entries = run.epochs.length * data.viewed;
    decoded.set(run, [new Uint16Array(content, 0, entries), new Uint8Array(content, 2 * entries, entries)]);
  }
  const [predicted, percents] = decoded.get(run);
  const found = predicted[frame * data.viewed + image];
  return {
    predicted: found === NONE ? null : found,
    percent: percents[frame * data.viewed + image],
    correct: found === data.images.labels[image],
  };
}

let pixels;

/** The pixels of an image, from 0 to 255. @param {number} image @returns {Uint8Array} */
export function pixelsOf(image) {
  pixels ??= new Uint8Array(bytes(data.images.pixels));
  const size = data.images.height * data.images.width;
  return pixels.subarray(image * size, (image + 1) * size);
}

/** The settings of a run, in words. @param {Run} run */
export function settings(run) {
  const full = run.batch_size === data.sweep.training_images ? " (full)" : "";
  const optimizer = run.optimizer === "sgd" ? "" : `, ${run.optimizer}`;
  return `batch size ${count(run.batch_size)}${full}, learning rate ${rate(run.learning_rate)}${optimizer}`;
}

/** The layers of a network. @param {any} network */
export function layersOf(network) {
  if (!decoded.has(network)) decoded.set(network, network.layers.map(decodeLayer));
  return decoded.get(network);
}

/**
 * Where a run is at a time, which is an epoch or lies between two.
 * @param {Run} run
 * @param {number} time
 * @returns {{frame: number, share: number}} the last frame that was reached, and how far it is to the next one
 */
export function placeAt(run, time) {
  const last = run.epochs.length - 1;
  let frame = last;
  while (frame > 0 && run.epochs[frame] > time + 1e-9) frame--;
  if (frame === last) return { frame, share: 0 };
  const share = (time - run.epochs[frame]) / (run.epochs[frame + 1] - run.epochs[frame]);
  return { frame, share: Math.min(Math.max(share, 0), 1) };
}

/** A value between those of two frames; null where one is not known. @param {(number | null)[]} values */
export function valueAt(values, { frame, share }, log = false) {
  const [from, to] = [values[frame], share ? values[frame + 1] : values[frame]];
  if (from === null || to === null) return share ? null : from;
  return log && from > 0 && to > 0 ? from * (to / from) ** share : from + (to - from) * share;
}
