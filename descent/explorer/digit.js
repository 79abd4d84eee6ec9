// A drawing becomes an image as MNIST's were made: the figure is scaled to fit a box (20 x 20 pixels in MNIST),
// and its center of mass is moved to the middle of the image.

/** @typedef {{x: number, y: number}[]} Stroke coordinates from 0 to 1 */
/** @typedef {{height: number, width: number, box: number}} Format */

const PEN = 0.115;
/* The width of a line, as a share of the box; 2.3 pixels in MNIST. */

const INK = 25;
/* Pixels above this belong to the figure, not to noise around it. */

const SAMPLES = 8;
/* Each pixel is the mean of so many by so many. */

/**
 * @param {Stroke[]} strokes
 * @param {Format} format
 * @returns {Uint8ClampedArray | null} an image with pixels from 0 to 255; null if nothing is drawn
 */
export function toImage(strokes, format) {
  const points = strokes.flat();
  if (!points.length) return null;
  const pen = PEN * format.box;
  const [left, right] = extent(points.map((point) => point.x));
  const [top, bottom] = extent(points.map((point) => point.y));
  // A dot has no size, and a short line should stay short: figures are magnified at most four times.
  const scale = Math.min((format.box - pen) / Math.max(right - left, bottom - top, 1e-6), 4 * format.box);
  const middle = { x: (left + right) / 2, y: (top + bottom) / 2 };
  const first = rendered(strokes, format, pen, scale, middle, { x: 0, y: 0 });
  const mass = centerOfMass(first, format);
  return rendered(strokes, format, pen, scale, middle, { x: format.width / 2 - mass.x, y: format.height / 2 - mass.y });
}

/**
 * The longer side of the figures in images: their median, 20 pixels in MNIST.
 * @param {number} images
 * @param {(image: number) => ArrayLike<number>} pixelsOf
 */
export function figureSide(images, pixelsOf, width, height) {
  const sides = [];
  for (let image = 0; image < images; image++) {
    const inked = Array.from(pixelsOf(image), (value, place) => (value > INK ? place : -1)).filter((place) => place >= 0);
    if (!inked.length) continue;
    const [left, right] = extent(inked.map((place) => place % width));
    const [top, bottom] = extent(inked.map((place) => Math.floor(place / width)));
    sides.push(Math.max(right - left, bottom - top) + 1);
  }
  return sides.sort((a, b) => a - b)[Math.floor(sides.length / 2)] ?? Math.min(width, height);
}

/** @param {number[]} values */
function extent(values) {
  return [Math.min(...values), Math.max(...values)];
}

/** @returns {Uint8ClampedArray} */
function rendered(strokes, format, pen, scale, middle, shift) {
  const canvas = document.createElement("canvas");
  canvas.width = format.width * SAMPLES;
  canvas.height = format.height * SAMPLES;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.scale(SAMPLES, SAMPLES);
  context.translate(format.width / 2 + shift.x, format.height / 2 + shift.y);
  tracePath(context, strokes, pen, (point) => [(point.x - middle.x) * scale, (point.y - middle.y) * scale]);
  const fine = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const image = new Uint8ClampedArray(format.width * format.height);
  for (let y = 0; y < format.height; y++) {
    for (let x = 0; x < format.width; x++) {
      let sum = 0;
      for (let row = 0; row < SAMPLES; row++) {
        const start = ((y * SAMPLES + row) * canvas.width + x * SAMPLES) * 4 + 3;
        for (let column = 0; column < SAMPLES; column++) sum += fine[start + 4 * column];
      }
      image[y * format.width + x] = sum / SAMPLES ** 2;
    }
  }
  return image;
}

/** @returns {{x: number, y: number}} */
function centerOfMass(image, format) {
  let [mass, x, y] = [0, 0, 0];
  image.forEach((value, place) => {
    mass += value;
    x += value * ((place % format.width) + 0.5);
    y += value * (Math.floor(place / format.width) + 0.5);
  });
  return { x: x / mass, y: y / mass };
}

/** Draws strokes with round ends. @param {(point: {x: number, y: number}) => number[]} place */
export function tracePath(context, strokes, width, place) {
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(...place(stroke[0]));
    for (const point of stroke) context.lineTo(...place(point));
    context.stroke();
  }
}
