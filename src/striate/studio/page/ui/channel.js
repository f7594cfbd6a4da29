// @ts-check
/** One channel of a layer, large: every cell with its exact value; bars of how often values occur; the kernels of a layer. */
import { colourPixels, colourTable, packedColour, PALETTES, wholeRange } from "../core/colour.js";
import { paintBand, tilingOf, wideEnough } from "../core/tiles.js";
import { part } from "../api.js";
import { fill, h, newest } from "../store.js";
import { pictureGrid } from "./grid.js";

/**
 * @typedef {import("../main.js").Context} Context
 * @typedef {{run: string, layer: string, c: number, y?: number | undefined, x?: number | undefined, range: {lo: number, hi: number} | null, layerShape: number[]}} Chosen
 */

/** @param {Context} context */
export function channelView(context) {
  const { t, number, api, go } = context;
  /** @type {{values: Float32Array, height: number, width: number, chosen: Chosen} | null} */
  let shown = null;
  const only = newest();
  const value = h("p", { class: "value", "aria-live": "off" });
  const open = h("button", { class: "primary", onclick: () => enter(grid.at()) }, t("layer.open_number"));
  const say = (/** @type {number} */ place) => shown ? t(shown.height > 1 ? "layer.cell" : "layer.cell1", { y: Math.floor(place / shown.width), x: place % shown.width, value: number(shown.values[place] ?? NaN) }) : "";
  const grid = pictureGrid({
    label: t("layer.one_map"), text: say,
    focus: (place) => { value.textContent = say(place); context.announce(say(place)); },
    point: (spot) => { value.textContent = say(spot ? spot.place : grid.at()); },
    enter: ({ place }) => enter(place),
  });
  /** @param {number} place */
  function enter(place) {
    if (!shown) return;
    const { chosen, width } = shown;
    const row = Math.floor(place / width);
    const x = place % width;
    const [, , high = 1] = chosen.layerShape;
    const at = [{}, {}, { x }, { y: row, x }, { z: Math.floor(row / high), y: row % high, x }][chosen.layerShape.length];
    go({ screen: "number", layer: chosen.layer, c: chosen.c, y: undefined, x: undefined, ...at });
  }
  function draw() {
    if (!shown) return;
    const { values, height, width, chosen } = shown;
    const zoom = Math.max(1, Math.floor(Math.min(288 / width, chosen.layerShape.length > 3 ? 12 : 288 / height)));
    const finite = values.filter(Number.isFinite);
    const range = chosen.range ?? { lo: finite.reduce((a, b) => Math.min(a, b), Infinity), hi: finite.reduce((a, b) => Math.max(a, b), -Infinity) };
    const tiling = tilingOf(width * height, { height: 1, width: 1 }, { zoomY: height === 1 ? 24 : zoom, zoomX: zoom, gap: 0 }, width * zoom);
    const theme = themeName();
    grid.show(tiling, (band) => {
      const first = band.row * tiling.columns;
      const colours = colourPixels(values.subarray(first, first + band.rows * tiling.columns), range, theme);
      const pixels = new Uint32Array(tiling.fullWidth * band.height);
      for (let py = 0; py < band.height; py++) for (let px = 0; px < tiling.fullWidth; px++) {
        pixels[py * tiling.fullWidth + px] = colours[Math.floor(py / tiling.zoomY) * width + Math.floor(px / tiling.zoomX)] ?? 0;
      }
      return pixels;
    }, (chosen.y ?? 0) * width + (chosen.x ?? 0), 296);
    value.textContent = say(grid.at());
    open.disabled = false;
  }
  context.theme(draw);
  return {
    element: h("div", { class: "stack" }, h("div", { class: "scroll" }, grid.element), value, h("p", { class: "row" }, open)),
    focus: () => grid.cell.focus(),
    values: () => shown,
    /** @param {Chosen} chosen */
    show(chosen) {
      open.disabled = true;
      return only(api.arrays(`run/${part(chosen.run)}/channel?layer=${part(chosen.layer)}&c=${chosen.c}`), (answer) => {
        const array = Object.values(answer.arrays)[0];
        if (!array) return;
        const width = chosen.layerShape.length > 1 ? array.shape.at(-1) ?? 1 : 1;
        shown = { values: /** @type {Float32Array} */ (array.data), width, height: array.data.length / width, chosen };
        draw();
      }, context.fail);
    },
  };
}

/** Whether the page is light or dark now. @returns {"light" | "dark"} */
export function themeName() {
  const scheme = document.documentElement.style.colorScheme;
  if (scheme === "light" || scheme === "dark") return scheme;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/**
 * Bars of counts, with the ends of their range written below, as a figure with a sentence.
 * @param {Context} context @param {Float64Array} counts @param {{lo: number, hi: number}} range @param {string} sentence
 */
export function histogramView({ number }, counts, range, sentence) {
  const most = counts.reduce((a, b) => Math.max(a, Math.log1p(b)), 0) || 1;
  const bars = h("div", { class: "histogram", role: "img", "aria-label": sentence }, Array.from(counts, (count) => h("i", { style: { "--share": Math.log1p(count) / most } })));
  const ends = h("p", { class: "ends muted" }, h("span", {}, number(range.lo)), h("span", {}, number(range.hi)));
  const figure = h("figure", {});
  fill(figure, bars, ends, h("figcaption", { class: "muted" }, sentence));
  return figure;
}

const KERNELS_AT_ONCE = 4096; // kernels asked for at once

/**
 * The kernels of a layer: k x k tiles for what output channels read of every input channel; 1x1 as one matrix.
 * @param {Context} context @param {import("../wire.js").Layer} layer @param {number} c the chosen output channel
 */
export function kernelView(context, layer, c) {
  const { t, api } = context;
  const element = h("section", { class: "stack" }, h("p", { class: "muted" }, "…"));
  if (!layer.kernels) {
    fill(element, h("p", { class: "hint" }, t("layer.no_kernels", { op: layer.op })));
    return element;
  }
  const { net } = context.view();
  const only = newest();
  const path = (/** @type {number} */ from, /** @type {number} */ count) => `net/${part(net?.id ?? "")}/kernels?layer=${part(layer.id)}&from=${from}&count=${count}`;
  void only(api.arrays(path(c, 1)), async (one) => {
    const [, per = 1] = firstArray(one).shape;
    const many = Math.max(1, Math.min(512, Math.floor(KERNELS_AT_ONCE / per)));
    const from = Math.floor(c / many) * many;
    const answer = many === 1 ? one : await api.arrays(path(from, many));
    const array = firstArray(answer);
    const [outs = 1, ins = 1] = array.shape;
    const size = array.shape.slice(2);
    const width = size.at(-1) ?? 1;
    const height = size.length > 1 ? size.slice(0, -1).reduce((a, b) => a * b, 1) : 1;
    fill(element, drawnKernels(context, { values: /** @type {Float32Array} */ (array.data), outs, ins, height, width, from, total: Number(answer.meta["total"] ?? outs) }));
  }, context.fail);
  return element;
}

/** @param {import("../core/decode.js").Tensors} answer */
function firstArray({ arrays }) {
  const array = arrays["weight"] ?? Object.values(arrays)[0];
  if (!array) throw new Error("an answer without arrays");
  return array;
}

/** @param {Context} context @param {{values: Float32Array, outs: number, ins: number, height: number, width: number, from: number, total: number}} kernels */
function drawnKernels(context, { values, outs, ins, height, width, from, total }) {
  const { t, number } = context;
  const size = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const range = { lo: -size || -1, hi: size || 1 };
  const q = Uint8Array.from(values, (value) => Math.floor((255 * (value + size)) / (2 * size || 1) + 0.5));
  const at = (/** @type {number} */ place) => ({ out: from + Math.floor(place / ins), in: place % ins });
  const grid = pictureGrid({
    label: t("layer.tab_kernels"), text: (place) => t("layer.kernel_says", at(place)),
    focus: (place) => context.announce(t("layer.kernel_says", at(place))),
    point: (spot) => { pointed.textContent = spot ? `${t("layer.kernel_says", at(spot.place))}: ${number(values[(spot.place * height + spot.y) * width + spot.x] ?? NaN)}` : "\u00a0"; },
    enter: ({ place }) => context.go({ c: at(place).out, tab: undefined }),
  });
  const pointed = h("p", { class: "value" }, "\u00a0");
  const draw = () => {
    const theme = themeName();
    const table = colourTable(range, range, theme);
    const matrix = height * width === 1;
    const side = Math.max(height, width);
    const fits = Math.floor(Math.min(640 / (ins * side), 520 / (outs * side), 48 / side));
    const zoom = matrix ? { zoomX: ins > 256 ? 2 : 4, zoomY: ins > 256 ? 2 : 4 } : wideEnough({ height, width }, Math.max(1, fits, Math.ceil(24 / side)));
    const pitch = width * zoom.zoomX + (matrix ? 0 : 2);
    const across = ins <= 4 && !matrix ? Math.max(1, Math.floor(640 / (ins * pitch))) : 1;
    const wide = matrix ? ins * pitch + 2 : Math.min(640, ins * across * pitch + 2);
    const tiling = tilingOf(outs * ins, { height, width }, { ...zoom, gap: matrix ? 0 : 2 }, wide);
    const tables = Array.from({ length: outs * ins }, () => table);
    grid.show(tiling, (band) => paintBand(tiling, band, q, tables, Array.from({ length: outs * ins }, (_, i) => i), packedColour(PALETTES[theme].gap)), 0);
  };
  draw();
  context.theme(draw);
  return [h("p", { class: "muted caption" }, t("layer.kernels_shown", { from, to: from + outs - 1, n: outs, total, ins, size: `${height}×${width}`, most: number(size) })), h("div", { class: "scroll" }, grid.element), pointed];
}

/** One map of bytes, a pixel a cell. @param {Uint8Array} values @param {number} height @param {number} width @param {{lo: number, hi: number}} own @param {{lo: number, hi: number}} range */
export function tileCanvas(values, height, width, own, range) {
  const table = colourTable(own, range, themeName());
  const tile = h("canvas", { width, height });
  const pixels = Uint32Array.from(values, (value) => table[value] ?? 0);
  tile.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  return tile;
}

/** One map of a run, or one channel of what it read (`#input`), a pixel a cell. @param {import("../api.js").Api} api @param {string} run @param {string} layer @param {number} c @param {HTMLCanvasElement} canvas */
export async function paintMap(api, run, layer, c, canvas) {
  const input = layer.startsWith("#input");
  const answer = await api.arrays(input ? `run/${part(run)}/input` : `run/${part(run)}/maps?layer=${part(layer)}`);
  const maps = answer.arrays[input ? "x" : "maps"];
  if (!maps) return;
  const [, high = 1, wide = 1] = maps.shape.length < 3 ? [maps.shape[0], 1, maps.shape[1] ?? 1] : maps.shape;
  const values = maps.data.subarray(c * high * wide, (c + 1) * high * wide);
  canvas.width = wide;
  canvas.height = high;
  const brush = canvas.getContext("2d");
  if (input) {
    const range = wholeRange(values, values);
    const pixels = colourPixels(values, range, themeName());
    brush?.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), wide, high), 0, 0);
  } else {
    const own = { lo: answer.arrays["lo"]?.data[c] ?? 0, hi: answer.arrays["hi"]?.data[c] ?? 0 };
    brush?.drawImage(tileCanvas(/** @type {Uint8Array} */ (values), high, wide, own, own), 0, 0);
  }
}
