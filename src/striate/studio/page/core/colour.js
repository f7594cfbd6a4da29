// @ts-check
/**
 * Colours of maps. Values that are never negative go from the surface to one hue; where there are negative ones, blue is
 * above zero, orange below, and zero is the surface itself.
 */

/** @typedef {[number, number, number]} Rgb @typedef {{lo: number, hi: number}} Range */

/** Anchors at even distances; the first (or the middle) is `--surface` of studio.css. @type {Record<"light" | "dark", {one: Rgb[], two: Rgb[], gap: Rgb, none: Rgb}>} */
export const PALETTES = {
  light: {
    one: [[255, 255, 255], [188, 217, 243], [101, 163, 219], [11, 92, 173], [5, 40, 84]],
    two: [[110, 50, 0], [214, 120, 30], [250, 205, 150], [255, 255, 255], [170, 208, 242], [50, 125, 200], [5, 50, 105]],
    gap: [213, 218, 224], none: [150, 150, 150],
  },
  dark: {
    one: [[20, 23, 27], [22, 58, 98], [38, 110, 180], [108, 178, 255], [232, 244, 255]],
    two: [[255, 226, 180], [255, 180, 84], [130, 80, 20], [20, 23, 27], [24, 76, 130], [108, 178, 255], [215, 235, 255]],
    gap: [52, 59, 68], none: [110, 110, 110],
  },
};
export const LEVELS = 255; // an odd number of colours, so that zero has one of its own

/** The colour as a canvas holds it in 32 bits, opaque. @param {Rgb} rgb */
export const packedColour = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** LEVELS colours through the anchors, linear between them. @param {Rgb[]} anchors @returns {Uint32Array} */
export function colourRamp(anchors) {
  const ramp = new Uint32Array(LEVELS);
  for (let level = 0; level < LEVELS; level++) {
    const at = (level * (anchors.length - 1)) / (LEVELS - 1);
    const from = Math.min(Math.floor(at), anchors.length - 2);
    const [low, high] = /** @type {[Rgb, Rgb]} */ (anchors.slice(from, from + 2));
    ramp[level] = packedColour(/** @type {Rgb} */ (low.map((v, c) => Math.floor(v + (/** @type {number} */ (high[c]) - v) * (at - from) + 0.5))));
  }
  return ramp;
}

/** The level of a value in a range: 0 to LEVELS-1; zero has the middle one where the range reaches below zero. @param {number} value @param {Range} range */
export function colourLevel(value, { lo, hi }) {
  const half = (LEVELS - 1) / 2;
  const size = Math.max(-lo, hi);
  const level = lo < 0 ? half + (half * value) / size : hi > lo ? ((LEVELS - 1) * (value - lo)) / (hi - lo) : 0;
  return Math.max(0, Math.min(LEVELS - 1, Math.floor(level + 0.5)));
}

/**
 * The colour of each of the 256 steps of a map whose values run from `own.lo` to `own.hi`, shown within `range`.
 * @param {Range} own @param {Range} range @param {"light" | "dark"} theme @returns {Uint32Array<ArrayBuffer>}
 */
export function colourTable(own, range, theme) {
  const palette = PALETTES[theme];
  const table = new Uint32Array(256);
  if (![own.lo, own.hi, range.lo, range.hi].every(Number.isFinite)) return table.fill(packedColour(palette.none));
  const ramp = rampOf(theme, range.lo < 0);
  for (let q = 0; q < 256; q++) table[q] = /** @type {number} */ (ramp[colourLevel(own.lo + ((own.hi - own.lo) * q) / 255, range)]);
  return table;
}

/** @type {Map<string, Uint32Array>} */
const ramps = new Map();

/** The ramp of a theme, with two hues or one. @param {"light" | "dark"} theme @param {boolean} two */
export function rampOf(theme, two) {
  const key = `${theme}${two}`;
  const ramp = ramps.get(key) ?? colourRamp(PALETTES[theme][two ? "two" : "one"]);
  ramps.set(key, ramp);
  return ramp;
}

/** The range that holds all ranges; NaN where there is none. @param {ArrayLike<number>} lo @param {ArrayLike<number>} hi @returns {Range} */
export function wholeRange(lo, hi) {
  let low = Infinity;
  let high = -Infinity;
  for (let c = 0; c < lo.length; c++) {
    const [a = NaN, b = NaN] = [lo[c], hi[c]];
    if (a < low) low = a;
    if (b > high) high = b;
  }
  return low <= high ? { lo: low, hi: high } : { lo: NaN, hi: NaN };
}

/** Pixels of float values, one pixel a value. @param {ArrayLike<number>} values @param {Range} range @param {"light" | "dark"} theme */
export function colourPixels(values, range, theme) {
  const ramp = rampOf(theme, range.lo < 0);
  const none = packedColour(PALETTES[theme].none);
  return Uint32Array.from(values, (value) => (Number.isFinite(value) ? /** @type {number} */ (ramp[colourLevel(value, range)]) : none));
}
