// Numbers as readers see them; the same forms as in descent/format.py.

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** @param {number} value */
export function count(value) {
  return Math.round(value).toLocaleString("en-US");
}

/** Formats a number of things: 1 seed, 5 seeds. @param {number} number @param {string} singular */
export function counted(number, singular) {
  return `${count(number)} ${singular}${number === 1 ? "" : "s"}`;
}

/** @param {number | null} share from 0 to 1 */
export function percent(share, digits = 1) {
  return share === null ? "–" : `${(100 * share).toFixed(digits)}\u00a0%`;
}

/** Formats with three significant digits, very large and very small values as a power of ten. @param {number | null} value */
export function number(value, digits = 3) {
  if (value === null || !Number.isFinite(value)) return "not finite";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return power(value.toExponential(digits - 1));
  return Number(value.toPrecision(digits)).toLocaleString("en-US", { maximumSignificantDigits: digits });
}

/** Formats a learning rate with all its digits. @param {number} value */
export function rate(value) {
  return value < 1e-4 || value >= 1e6 ? power(value.toExponential()) : String(value);
}

/** Joins texts as in a sentence. @param {string[]} texts */
export function listed(texts) {
  return texts.length < 2 ? texts.join() : `${texts.slice(0, -1).join(", ")} and ${texts[texts.length - 1]}`;
}

/** @param {string} text such as "1.50e-7" */
function power(text) {
  const [mantissa, exponent] = text.split("e");
  const raised = [...String(Number(exponent))].map((sign) => (sign === "-" ? "⁻" : SUPERSCRIPTS[Number(sign)])).join("");
  return Number(mantissa) === 1 ? `10${raised}` : `${Number(mantissa)}\u00a0×\u00a010${raised}`;
}
