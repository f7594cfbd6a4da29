// @ts-check
/** Strokes and pictures in the pixels of an input. */
import { colourLevel, rampOf, wholeRange } from "./colour.js";

/**
 * Adds a line with round ends to a cover: each pixel holds how much of it is covered, 0 to 1, with soft edges one pixel
 * wide. Coordinates are in pixels, (0.5, 0.5) the middle of the first one. Returns the box that was touched.
 * @param {Float32Array} cover [H, W] @param {number} height @param {number} width
 * @param {{x: number, y: number}} from @param {{x: number, y: number}} to @param {number} pen width in pixels
 */
export function coverLine(cover, height, width, from, to, pen) {
  const reach = pen / 2 + 1;
  const [left, right] = [Math.max(0, Math.floor(Math.min(from.x, to.x) - reach)), Math.min(width - 1, Math.ceil(Math.max(from.x, to.x) + reach))];
  const [top, bottom] = [Math.max(0, Math.floor(Math.min(from.y, to.y) - reach)), Math.min(height - 1, Math.ceil(Math.max(from.y, to.y) + reach))];
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) {
    const along = length ? Math.max(0, Math.min(1, ((x + 0.5 - from.x) * dx + (y + 0.5 - from.y) * dy) / length)) : 0;
    const away = Math.hypot(x + 0.5 - from.x - along * dx, y + 0.5 - from.y - along * dy);
    const covered = Math.max(0, Math.min(1, pen / 2 + 0.5 - away));
    const at = y * width + x;
    if (covered > (cover[at] ?? 0)) cover[at] = covered;
  }
  return { left, right, top, bottom };
}

/**
 * The ink over a picture where a stroke covers it.
 * @param {Uint8Array} ground [H, W, C] @param {Float32Array} cover [H, W] @param {number[]} ink one value a channel
 */
export function inkedPixels(ground, cover, ink) {
  const channels = ink.length;
  return ground.map((value, i) => {
    const covered = cover[Math.floor(i / channels)] ?? 0;
    return Math.floor(value + ((ink[i % channels] ?? 0) - value) * covered + 0.5);
  });
}

/** Pixels of a picture of 1, 3 or 4 channels as a canvas holds them, opaque. @param {ArrayLike<number>} values [H, W, C] @param {number} count of pixels @param {number} channels */
export function opaquePixels(values, count, channels) {
  const pixels = new Uint32Array(count);
  const read = (/** @type {number} */ at) => values[at] ?? 0;
  for (let i = 0; i < count; i++) {
    const at = i * channels;
    pixels[i] = ((255 << 24) | (read(at + (channels > 2 ? 2 : 0)) << 16) | (read(at + (channels > 2 ? 1 : 0)) << 8) | read(at)) >>> 0;
  }
  return pixels;
}

/** Whole-number zoom of an image of 32-bit pixels: rows `from` to `to`. @param {Uint32Array} pixels @param {number} width @param {number} zoom @param {number} from @param {number} to @returns {Uint32Array<ArrayBuffer>} */
export function zoomedPixels(pixels, width, zoom, from, to) {
  const wide = width * zoom;
  const out = new Uint32Array(wide * (to - from) * zoom);
  for (let y = from; y < to; y++) {
    const start = (y - from) * zoom * wide;
    for (let x = 0; x < wide; x++) out[start + x] = pixels[y * width + Math.floor(x / zoom)] ?? 0;
    for (let k = 1; k < zoom; k++) out.copyWithin(start + k * wide, start, start + wide);
  }
  return out;
}

/** Lowest and highest value in each of `columns` even parts of a signal. @param {ArrayLike<number>} values @param {number} columns */
export function envelopeOf(values, columns) {
  const low = new Float32Array(columns).fill(Infinity);
  const high = new Float32Array(columns).fill(-Infinity);
  for (let i = 0; i < values.length; i++) {
    const column = Math.min(columns - 1, Math.floor((i * columns) / values.length));
    const value = values[i] ?? 0;
    if (value < (low[column] ?? 0)) low[column] = value;
    if (value > (high[column] ?? 0)) high[column] = value;
  }
  return { low, high };
}

// What the map of a net is drawn with.

/** The last name of a path, with those before it while they are but numbers. @param {string} path */
export function shortName(path) {
  const names = path.split(".");
  let start = names.length - 1;
  while (start > 0 && /^\d+$/.test(names[start] ?? "")) start--;
  return names.slice(start).join(".");
}

/** Corners as a way with rounded turns. @param {number[][]} points */
export function roundedPath(points) {
  const [first = [0, 0], ...rest] = points;
  let way = `M${first[0]} ${first[1]}`;
  rest.forEach(([x = 0, y = 0], at) => {
    const [nx, ny] = rest[at + 1] ?? [];
    const [px = 0, py = 0] = points[at] ?? [];
    if (nx === undefined || ny === undefined) { way += `L${x} ${y}`; return; }
    const [before, after] = [Math.hypot(x - px, y - py) || 1, Math.hypot(nx - x, ny - y) || 1];
    const [a, b] = [Math.min(6, before / 2) / before, Math.min(6, after / 2) / after];
    way += `L${x - (x - px) * a} ${y - (y - py) * a}Q${x} ${y} ${x + (nx - x) * b} ${y + (ny - y) * b}`;
  });
  return way;
}

/**
 * The calls whose values some calls read, behind those that hand on what they read.
 * @param {{nodes: {id: string, passing: boolean}[], edges: number[][]}} graph @param {string[]} ids @returns {{sources: string[], through: Set<string>}}
 */
export function trueSources({ nodes, edges }, ids) {
  const own = new Set(ids);
  /** @type {Map<string, string[]>} */
  const reads = new Map();
  for (const [from = 0, to = 0] of edges) {
    const [source, target] = [nodes[from]?.id ?? "", nodes[to]?.id ?? ""];
    reads.set(target, [...(reads.get(target) ?? []), source]);
  }
  const passing = new Set(nodes.filter((node) => node.passing).map((node) => node.id));
  const [sources, through, waiting] = [new Set(/** @type {string[]} */ ([])), new Set(/** @type {string[]} */ ([])), [...ids]];
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) for (const source of reads.get(id) ?? []) {
    if (own.has(source) || through.has(source)) continue;
    if (passing.has(source)) { through.add(source); waiting.push(source); } else sources.add(source);
  }
  return { sources: [...sources], through };
}

/** The nearest box in the direction of an arrow key. @param {{id: string, x: number, y: number}[]} all @param {{id: string, x: number, y: number}} here @param {string} key */
export function nearestBox(all, here, key) {
  const [dx, dy] = /** @type {Record<string, [number, number]>} */ ({ ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] })[key] ?? [0, 0];
  if (!dx && !dy) return undefined;
  let [best, least] = [/** @type {string | undefined} */ (undefined), Infinity];
  for (const box of all) {
    const [x, y] = [box.x - here.x, box.y - here.y];
    const along = x * dx + y * dy;
    if (box === here || along < 8) continue;
    const cost = along + 4 * Math.abs(x * dy) + 4 * Math.abs(y * dx);
    if (cost < least) [best, least] = [box.id, cost];
  }
  return best;
}

// What the net read, under a map of where it looks.

/**
 * @typedef {{x: Float32Array, picture: Uint8Array | null, channels: number, height: number, width: number, series: boolean, flip: boolean}} Base what the net read
 * @typedef {{values: ArrayLike<number>, scale: number, signed: boolean}} Heat
 */

/** What the net read, as it is drawn. @param {import("./decode.js").Tensors} answer @param {string} kind @returns {Base | null} */
export function baseFrom(answer, kind) {
  const x = answer.arrays["x"];
  if (!x) return null;
  const [channels = 1, ...space] = x.shape;
  if (!space.length) return null;
  const series = space.length === 1;
  const [height, width] = series ? [1, space[0] ?? 1] : /** @type {[number, number]} */ (space.slice(-2));
  const plane = height * width;
  const depth = space.length > 2 ? space[0] ?? 1 : 1;
  let values = /** @type {Float32Array} */ (x.data);
  if (depth > 1) { // of a volume the middle slice
    const slices = Array.from({ length: channels }, (_, c) => values.subarray((c * depth + (depth >> 1)) * plane, (c * depth + (depth >> 1) + 1) * plane));
    values = Float32Array.from(slices.flatMap((slice) => [...slice]));
  }
  const picture = answer.arrays["picture"];
  const fits = picture && !series && depth === 1 && kind === "image" && picture.shape[0] === height && picture.shape[1] === width;
  return { x: values, picture: fits ? /** @type {Uint8Array} */ (picture.data) : null, channels, height, width, series, flip: kind === "audio" && !series };
}

/**
 * The input as a canvas holds it, 4 bytes a pixel: grey where a map lies over it, the more of it the stronger.
 * @param {Base} base @param {Heat | null} heat @param {number} strength 0 to 1 @param {boolean} dark
 */
export function heatedPixels({ x, picture, channels, height, width, series, flip }, heat, strength, dark) {
  const count = height * width;
  const ramp = rampOf(dark ? "dark" : "light", Boolean(heat?.signed));
  const scale = heat?.scale || 1;
  const colours = Math.min(channels, 3) === 3 ? 3 : 1;
  const { lo, hi } = wholeRange(x.subarray(0, colours * count), x.subarray(0, colours * count));
  const middle = heat && heat.values.length > count ? Math.floor(heat.values.length / count / 2) * count : 0;
  const pixels = new Uint8ClampedArray(4 * count);
  for (let i = 0; i < count; i++) {
    const rgb = [0, 1, 2].map((c) => (series ? (dark ? 20 : 255) : picture ? picture[3 * i + c] ?? 0 : (255 * ((x[(c % colours) * count + i] ?? 0) - lo)) / (hi - lo || 1)));
    const grey = (rgb[0] ?? 0) * 0.299 + (rgb[1] ?? 0) * 0.587 + (rgb[2] ?? 0) * 0.114;
    const quiet = series ? grey : dark ? 0.7 * grey : 95 + 0.62 * grey; // so that the colours stand out on any picture
    const value = heat?.values[middle + i] ?? 0;
    const share = heat && Number.isFinite(value) ? strength * Math.min(1, Math.abs(value) / scale) : 0;
    const packed = ramp[colourLevel(value, { lo: heat?.signed ? -scale : 0, hi: scale })] ?? 0;
    const at = 4 * (flip ? (height - 1 - Math.floor(i / width)) * width + (i % width) : i);
    for (let c = 0; c < 3; c++) pixels[at + c] = heat ? quiet * (1 - share) + ((packed >> (8 * c)) & 255) * share : rgb[c] ?? 0;
    pixels[at + 3] = 255;
  }
  return pixels;
}
