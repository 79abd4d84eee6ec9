// The multilayer perceptron of a model, from its quantized weights.

/** @typedef {{inputs: number, outputs: number, kernel: Float32Array, bias: Float32Array}} Layer */

/** @param {string} text base64 @returns {ArrayBuffer} */
export function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;
}

/** @param {{kernel: string, scale: string, bias: string}} encoded a layer of the page's data @returns {Layer} */
export function decodeLayer(encoded) {
  const [whole, scale, bias] = [new Int16Array(bytes(encoded.kernel)), new Float32Array(bytes(encoded.scale)), new Float32Array(bytes(encoded.bias))];
  const outputs = bias.length;
  return { inputs: whole.length / outputs, outputs, bias, kernel: Float32Array.from(whole, (value, place) => value * scale[place % outputs]) };
}

/**
 * @param {Layer[]} layers
 * @param {string} activation
 * @param {ArrayLike<number>} pixels from 0 to 255
 * @returns {Float64Array} the probability of each class; NaN if a sum is not finite
 */
export function classify(layers, activation, pixels) {
  let values = Float64Array.from(pixels, (pixel) => pixel / 255);
  layers.forEach((layer, place) => {
    const sums = Float64Array.from(layer.bias);
    for (let input = 0; input < layer.inputs; input++) {
      const value = values[input];
      if (value === 0) continue;
      const start = input * layer.outputs;
      for (let output = 0; output < layer.outputs; output++) sums[output] += value * layer.kernel[start + output];
    }
    values = place < layers.length - 1 ? sums.map(ACTIVATIONS[activation]) : sums;
  });
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

/** @type {Record<string, (z: number) => number>} */
const ACTIVATIONS = {
  relu: (z) => Math.max(z, 0),
  tanh: Math.tanh,
  sigmoid: (z) => 1 / (1 + Math.exp(-z)),
  elu: (z) => (z > 0 ? z : Math.expm1(z)),
  gelu: (z) => (z * (1 + errorFunction(z / Math.SQRT2))) / 2,
  silu: (z) => z / (1 + Math.exp(-z)),
};

/** Abramowitz and Stegun 7.1.26; its error is below 2e-7. @param {number} x */
function errorFunction(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const terms = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
  const value = 1 - terms.reduce((sum, term) => (sum + term) * t, 0) * Math.exp(-x * x);
  return x < 0 ? -value : value;
}
