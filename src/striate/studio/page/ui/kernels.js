// @ts-check
/** The kernels of a layer: k x k tiles for what one output channel reads of every input channel; 1x1 as one matrix. */
import { part } from "../api.js";
import { colourTable, packedColour, PALETTES } from "../core/colour.js";
import { paintBand, tilingOf, wideEnough } from "../core/tiles.js";
import { fill, h, newest } from "../store.js";
import { themeName } from "./channel.js";
import { pictureGrid } from "./grid.js";

/** @typedef {import("../main.js").Context} Context @typedef {import("../wire.js").Layer} Layer */

const AT_ONCE = 4096; // kernels asked for at once

/** @param {Context} context @param {Layer} layer @param {number} c the chosen output channel */
export function kernelView(context, layer, c) {
  const { t, api } = context;
  const element = h("section", { class: "stack" }, h("p", { class: "muted" }, "…"));
  if (!layer.kernel) {
    fill(element, h("p", { class: "hint" }, t("layer.no_kernels", { op: layer.op })));
    return element;
  }
  const { net } = context.view();
  const only = newest();
  const path = (/** @type {number} */ from, /** @type {number} */ count) => `net/${part(net?.id ?? "")}/kernels?layer=${part(layer.id)}&from=${from}&count=${count}`;
  void only(api.arrays(path(c, 1)), async (one) => {
    const [, per = 1] = firstArray(one).shape;
    const many = Math.max(1, Math.min(512, Math.floor(AT_ONCE / per)));
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
    const zoom = matrix ? { zoomX: ins > 256 ? 2 : 4, zoomY: ins > 256 ? 2 : 4 } : wideEnough({ height, width }, Math.max(1, Math.ceil((ins <= 4 ? 32 : 24) / Math.max(height, width))));
    const pitch = width * zoom.zoomX + (matrix ? 0 : 2);
    const wide = matrix || ins <= 4 ? ins * pitch * (matrix ? 1 : Math.max(1, Math.floor(600 / (ins * pitch)))) + 2 : Math.min(600, ins * pitch + 2);
    const tiling = tilingOf(outs * ins, { height, width }, { ...zoom, gap: matrix ? 0 : 2 }, wide);
    const tables = Array.from({ length: outs * ins }, () => table);
    grid.show(tiling, (band) => paintBand(tiling, band, q, tables, Array.from({ length: outs * ins }, (_, i) => i), packedColour(PALETTES[theme].gap)), 0);
  };
  draw();
  context.theme(draw);
  return [h("p", { class: "muted caption" }, t("layer.kernels_shown", { from, to: from + outs - 1, n: outs, total, ins, size: `${height}×${width}`, most: number(size) })), h("div", { class: "scroll" }, grid.element), pointed];
}
