// @ts-check
/** One channel of a layer, large: every cell with its exact value; and bars of how often values occur. */
import { colourPixels } from "../core/colour.js";
import { tilingOf } from "../core/tiles.js";
import { part } from "../api.js";
import { fill, h, newest } from "../store.js";
import { pictureGrid } from "./grid.js";

/**
 * @typedef {import("../main.js").Context} Context
 * @typedef {{run: string, layer: string, c: number, y?: number | undefined, x?: number | undefined, range: {lo: number, hi: number} | null, kind: string}} Chosen
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
    const y = Math.floor(place / width);
    const x = place % width;
    go({ screen: "number", layer: chosen.layer, c: chosen.c, ...(chosen.kind === "vector" ? {} : chosen.kind === "series" ? { x } : { y, x }) });
  }
  function draw() {
    if (!shown) return;
    const { values, height, width, chosen } = shown;
    const zoom = Math.max(1, Math.floor(Math.min(288 / width, 288 / height)));
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
    }, (chosen.y ?? 0) * width + (chosen.x ?? 0));
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
        const shape = array.shape.filter((size, i) => i > 0 || array.shape.length < 3 || size !== 1);
        const width = shape.length ? /** @type {number} */ (shape.at(-1)) : 1;
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
