// @ts-check
/** The parts of one number: the map with the window over it, the patch, the kernel and their products, bars, a table of terms. */
import { colourPixels, packedColour, PALETTES } from "../core/colour.js";
import { h } from "../store.js";
import { themeName } from "./channel.js";

/**
 * @typedef {import("../main.js").Context} Context @typedef {import("../wire.js").Number} NumberWire @typedef {import("../wire.js").NumberTerm} NumberTerm
 * @typedef {{layer: string, at: number[], item: number, name: string}} Spot where a number stands
 * @typedef {{a: ArrayLike<number>, w: ArrayLike<number>, mark: ArrayLike<number>, at: ArrayLike<number>, rank: number}} AllTerms
 * @typedef {{values: ArrayLike<number>, height: number, width: number}} Plane
 */

export const NUMBER_MARKS = ["", "padding", "gap", "taken"];
const SIDE = 252; // pixels of a map
const LARGEST_PATCH = 24; // cells a side beyond which the gaps of a dilation are left out

/** A number of the wire: what JSON cannot say comes as a text. @param {any} value @returns {number} */
export const wireNumber = (value) => (typeof value === "string" ? Number(value) : value ?? NaN);

/** All digits that a float32 holds, as the language writes them, without groups. @param {Context} context @param {number} value @param {number} [digits] */
export function digitsOf({ number }, value, digits = 9) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const far = value !== 0 && (size < 1e-4 || size >= 1e9);
  return number(value, { maximumSignificantDigits: digits, useGrouping: false, ...(far ? { notation: "scientific" } : {}) });
}

/**
 * One map with the window over it; cells beyond its edge are hatched. `pick` is called with the row and column of a cell of the window.
 * @param {Context} context @param {(y: number, x: number) => void} pick
 */
export function windowMap(context, pick) {
  const canvas = h("canvas", { class: "pixels window", role: "img" });
  /** @type {{plane: Plane, rows: (number | null)[], columns: (number | null)[], margin: [number, number], zoom: [number, number]} | null} */
  let shown = null;
  canvas.addEventListener("click", (event) => {
    if (!shown) return;
    const box = canvas.getBoundingClientRect();
    const [top, left] = shown.margin;
    const y = Math.floor(((event.clientY - box.top) * canvas.height) / box.height / shown.zoom[0]) - top;
    const x = Math.floor(((event.clientX - box.left) * canvas.width) / box.width / shown.zoom[1]) - left;
    if (shown.rows.includes(y) && shown.columns.includes(x) && y >= 0 && x >= 0 && y < shown.plane.height && x < shown.plane.width) pick(y, x);
  });

  function paint() {
    const pen = canvas.getContext("2d");
    if (!shown || !pen) return;
    const { plane, rows, columns, margin: [top, left], zoom: [zy, zx] } = shown;
    const theme = themeName();
    const finite = Array.from(plane.values).filter(Number.isFinite);
    const range = { lo: finite.reduce((a, b) => Math.min(a, b), Infinity), hi: finite.reduce((a, b) => Math.max(a, b), -Infinity) };
    const small = new OffscreenCanvas(plane.width, plane.height);
    small.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(Uint32Array.from(colourPixels(plane.values, range, theme)).buffer), plane.width, plane.height), 0, 0);
    canvas.width = (plane.width + 2 * left) * zx;
    canvas.height = (plane.height + 2 * top) * zy;
    const style = getComputedStyle(canvas);
    pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(small, left * zx, top * zy, plane.width * zx, plane.height * zy);
    if (top || left) { pen.strokeStyle = rgbText(packedColour(PALETTES[theme].gap)); pen.strokeRect(left * zx + 0.5, top * zy + 0.5, plane.width * zx - 1, plane.height * zy - 1); }
    const focus = style.color;
    for (const y of rows) for (const x of columns) {
      if (y == null || x == null) continue;
      const outside = y < 0 || x < 0 || y >= plane.height || x >= plane.width;
      if (outside) hatch(pen, (x + left) * zx, (y + top) * zy, zx, zy, focus);
      else if (Math.min(zx, zy) > 3) { pen.strokeStyle = focus; pen.strokeRect((x + left) * zx + 0.5, (y + top) * zy + 0.5, zx - 1, zy - 1); }
    }
    const [ys, xs] = [rows, columns].map((line) => line.filter((cell) => cell != null));
    if (!ys?.length || !xs?.length) return;
    const [y0, y1, x0, x1] = [Math.min(...ys), Math.max(...ys) + 1, Math.min(...xs), Math.max(...xs) + 1];
    pen.strokeStyle = focus;
    pen.lineWidth = 2;
    const [wide, high] = [Math.max(7, (x1 - x0) * zx), Math.max(7, (y1 - y0) * zy)]; // one cell of a large map is seen too
    pen.strokeRect(((x0 + x1) / 2 + left) * zx - wide / 2, ((y0 + y1) / 2 + top) * zy - high / 2, wide, high);
    pen.lineWidth = 1;
  }
  context.theme(paint);
  const element = h("div", { class: "scroll" }, canvas);
  return {
    element,
    /** @param {Plane} plane @param {(number | null)[]} rows @param {(number | null)[]} columns cells of the window @param {[number, number]} padding @param {string} label */
    show(plane, rows, columns, padding, label) {
      const over = (/** @type {(number | null)[]} */ line, /** @type {number} */ n, /** @type {number} */ least) =>
        line.reduce((/** @type {number} */ most, cell) => (cell == null ? most : Math.max(most, -cell, cell - n + 1)), least);
      /** @type {[number, number]} */
      const margin = [over(rows, plane.height, padding[0]), over(columns, plane.width, padding[1])];
      const zoom = Math.max(1, Math.floor(Math.min(SIDE / (plane.height + 2 * margin[0]), SIDE / (plane.width + 2 * margin[1]))));
      const wide = Math.max(1, Math.floor(SIDE / (plane.width + 2 * margin[1])));
      shown = { plane, rows, columns, margin, zoom: plane.height === 1 ? [24, wide] : [zoom, zoom] };
      canvas.setAttribute("aria-label", label);
      paint();
      const middle = (/** @type {(number | null)[]} */ line) => line.find((cell) => cell != null) ?? 0;
      centreOn(element, (middle(rows) + margin[0]) * shown.zoom[0], (middle(columns) + margin[1]) * shown.zoom[1]);
    },
  };
}

/** Scrolls a box, and not the page, to a point of what it holds. @param {HTMLElement} box @param {number} top @param {number} left */
export function centreOn(box, top, left) {
  box.scrollTop = top - box.clientHeight / 2;
  box.scrollLeft = left - box.clientWidth / 2;
}

/** @param {number} packed */
const rgbText = (packed) => `rgb(${packed & 255} ${(packed >> 8) & 255} ${(packed >> 16) & 255})`;

/** @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y @param {number} w @param {number} high @param {string} colour */
function hatch(pen, x, y, w, high, colour) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, w, high);
  pen.clip();
  pen.strokeStyle = colour;
  pen.beginPath();
  for (let d = -high; d < w; d += 4) { pen.moveTo(x + d, y + high); pen.lineTo(x + d + high, y); }
  pen.stroke();
  pen.restore();
}

/**
 * The patch, the kernel and the products of one input channel. Cells of the patch are a grid: arrows, Enter walks back.
 * @param {Context} context @param {NumberWire} told @param {AllTerms} terms @param {number} place of the channel among those read
 * @param {(index: number) => void} walk
 */
export function channelTables(context, told, terms, place, walk) {
  const { t } = context;
  const kernel = [1, 1, ...told.kernel].slice(-Math.max(2, told.kernel.length));
  const dilation = [1, 1, ...told.dilation].slice(-kernel.length);
  const [kh = 1, kw = 1] = kernel.slice(-2);
  const [dy = 1, dx = 1] = dilation.slice(-2);
  const size = kh * kw;
  const whole = kernel.reduce((a, b) => a * b, 1);
  const first = place * whole;
  const multiplied = told.kind !== "maximum" && told.kind !== "average";
  const most = (/** @type {(i: number) => number} */ of) => Array.from({ length: whole }, (_, i) => Math.abs(of(first + i))).filter(Number.isFinite).reduce((a, b) => Math.max(a, b), 0) || 1;
  const read = (/** @type {number} */ i) => terms.a[i] ?? NaN;
  const factor = (/** @type {number} */ i) => terms.w[i] ?? NaN;
  const product = (/** @type {number} */ i) => (factor(i) === 0 || read(i) === 0 ? 0 : read(i) * factor(i));
  const tops = [most(read), most(factor), most(product)];
  const said = h("p", { class: "value" }, "\u00a0");
  const element = h("div", { class: "window-tables" });

  /** @param {number} i */
  function sentence(i) {
    const mark = NUMBER_MARKS[terms.mark[i] ?? 0];
    if (mark === "padding" || mark === "gap") return t(`number.cell_${mark}`);
    const at = Array.from({ length: terms.rank }, (_, k) => terms.at[i * terms.rank + k]).join(", ");
    const values = { at, a: digitsOf(context, read(i)), w: digitsOf(context, factor(i)), p: digitsOf(context, product(i)) };
    return t(multiplied ? "number.cell_product" : mark === "taken" ? "number.cell_taken" : "number.cell_read", values);
  }
  /** @param {number} i */
  function point(i) {
    said.textContent = sentence(i);
    for (const cell of element.querySelectorAll("td.on")) cell.classList.remove("on");
    for (const cell of element.querySelectorAll(`td[data-i="${i}"]`)) cell.classList.add("on");
  }

  for (let slice = 0; slice < whole / size; slice++) {
    const start = first + slice * size;
    const name = whole > size ? t("number.slice", { slice }) : "";
    const gaps = (kh - 1) * dy < LARGEST_PATCH && (kw - 1) * dx < LARGEST_PATCH;
    const patch = patchTable(context, { start, kh, kw, dy: gaps ? dy : 1, dx: gaps ? dx : 1, top: tops[0] ?? 1, read, terms, sentence, point, walk, title: `${name} ${t("number.read")}` });
    const others = !multiplied ? [] : [plainTable(context, start, kh, kw, factor, tops[1] ?? 1, `${name} ${t("number.kernel")}`), plainTable(context, start, kh, kw, product, tops[2] ?? 1, `${name} ${t("number.products")}`)];
    const signs = ["×", "="].map((sign) => h("span", { class: "sign", "aria-hidden": "true" }, sign));
    element.append(h("div", { class: "row" }, patch, others[0] ? signs[0] : null, others[0], others[1] ? signs[1] : null, others[1]));
  }
  for (const table of element.querySelectorAll("table")) {
    table.addEventListener("pointerover", (event) => {
      const cell = /** @type {HTMLElement} */ (event.target).closest("td[data-i]");
      if (cell instanceof HTMLElement) point(Number(cell.dataset.i));
    });
  }
  element.append(said);
  return element;
}

/**
 * @param {Context} context
 * @param {{start: number, kh: number, kw: number, dy: number, dx: number, top: number, read: (i: number) => number, terms: AllTerms,
 *   sentence: (i: number) => string, point: (i: number) => void, walk: (i: number) => void, title: string}} options
 */
function patchTable(context, { start, kh, kw, dy, dx, top, read, terms, sentence, point, walk, title }) {
  const table = h("table", { class: "cells", role: "grid", "aria-label": title.trim() }, h("caption", {}, title.trim()));
  /** @type {HTMLTableCellElement[]} */
  const cells = [];
  for (let y = 0; y <= (kh - 1) * dy; y++) {
    const row = h("tr", { role: "row" });
    for (let x = 0; x <= (kw - 1) * dx; x++) {
      if (y % dy || x % dx) { row.append(h("td", { class: "gap", "aria-hidden": "true" }, "·")); continue; }
      const i = start + (y / dy) * kw + x / dx;
      const mark = NUMBER_MARKS[terms.mark[i] ?? 0];
      const cell = h("td", { role: "gridcell", tabindex: i === start ? 0 : -1, "data-i": i, class: mark || null, "aria-label": sentence(i), ...shade(read(i), top, mark) },
        mark === "gap" ? "·" : digitsOf(context, read(i), 3));
      cells.push(cell);
      row.append(cell);
    }
    table.append(row);
  }
  const focus = (/** @type {number} */ at) => {
    const cell = cells[Math.max(0, Math.min(cells.length - 1, at))];
    for (const each of cells) each.tabIndex = each === cell ? 0 : -1;
    cell?.focus();
  };
  table.addEventListener("focusin", (event) => point(Number(/** @type {HTMLElement} */ (event.target).dataset.i)));
  table.addEventListener("click", (event) => {
    const cell = /** @type {HTMLElement} */ (event.target).closest("td[data-i]");
    if (cell instanceof HTMLElement) walk(Number(cell.dataset.i));
  });
  table.addEventListener("keydown", (event) => {
    const at = cells.indexOf(/** @type {HTMLTableCellElement} */ (event.target));
    const steps = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowRight: 1, ArrowUp: -kw, ArrowDown: kw, Home: -(at % kw), End: kw - 1 - (at % kw) });
    if (event.key === "Enter") walk(Number(cells[at]?.dataset.i));
    else if (steps[event.key] === undefined) return;
    else if (cells[at + (steps[event.key] ?? 0)]) focus(at + (steps[event.key] ?? 0));
    event.preventDefault();
  });
  return table;
}

/** @param {Context} context @param {number} start @param {number} kh @param {number} kw @param {(i: number) => number} of @param {number} top @param {string} title */
function plainTable(context, start, kh, kw, of, top, title) {
  return h("table", { class: "cells" }, h("caption", {}, title.trim()), Array.from({ length: kh }, (_, y) =>
    h("tr", {}, Array.from({ length: kw }, (_, x) => { const i = start + y * kw + x; return h("td", { "data-i": i, ...shade(of(i), top, "") }, digitsOf(context, of(i), 3)); }))));
}

/** Blue above zero, orange below, as on maps. @param {number} value @param {number} top @param {string | undefined} mark */
function shade(value, top, mark) {
  if (mark === "padding" || mark === "gap" || !Number.isFinite(value)) return {};
  return { "data-sign": value < 0 ? "below" : "above", style: { "--share": Math.min(1, Math.abs(value) / top).toFixed(3) } };
}

/**
 * What each input channel adds, the largest first; a button shows its patch.
 * @param {Context} context @param {NumberWire} told @param {number} chosen place of the channel that is shown @param {(place: number) => void} choose
 */
export function channelBars(context, told, chosen, choose) {
  const { t, number } = context;
  const sums = told.channel_sums.map(wireNumber);
  const from = told.channels?.[0] ?? 0;
  const order = sums.map((_, i) => i).sort((a, b) => Math.abs(sums[b] ?? 0) - Math.abs(sums[a] ?? 0));
  const top = Math.abs(sums[order[0] ?? 0] ?? 1) || 1;
  const rest = order.slice(32);
  return h("ol", { class: "sums" }, order.slice(0, 32).map((i) =>
    h("li", {}, h("button", { "aria-pressed": String(i === chosen), onclick: () => choose(i) },
      h("span", {}, t("number.channel", { c: from + i })), h("span", { class: "bar", "data-sign": (sums[i] ?? 0) < 0 ? "below" : "above", style: { "--share": (Math.abs(sums[i] ?? 0) / top).toFixed(4) } }), h("span", { class: "figure" }, number(sums[i] ?? NaN))))),
  rest.length ? h("li", { class: "muted" }, t("number.more_channels", { n: rest.length, sum: number(rest.reduce((all, i) => all + (sums[i] ?? 0), 0)) })) : null);
}

/**
 * The largest terms as a table, and the sum of the others; each that was read somewhere has a button that walks back.
 * @param {Context} context @param {NumberWire} told @param {(term: NumberTerm) => void} walk
 */
export function termTable(context, told, walk) {
  const { t } = context;
  const terms = [...told.terms].sort((a, b) => Number(b.index === told.main) - Number(a.index === told.main) || Math.abs(wireNumber(b.p)) - Math.abs(wireNumber(a.p)));
  const cell = (/** @type {any} */ value) => h("td", { class: "number" }, digitsOf(context, wireNumber(value), 6));
  const left = told.total - told.terms.length;
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("number.terms") },
    h("table", { class: "terms" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("number.read_at")), ["read", "factor", "product"].map((name) => h("th", { scope: "col", class: "number" }, t(`number.${name}`))))),
      h("tbody", {}, terms.map((term) => h("tr", { class: term.mark || null, "data-main": term.index === told.main },
        h("td", {}, term.at
          ? h("button", { class: "walk", "data-index": term.index, onclick: () => walk(term) }, `${term.name ?? told.source?.name ?? ""} [${term.at.join(", ")}]`)
          : term.mark ? t(`number.${term.mark}`) : term.name ?? t("number.plain")),
        cell(term.a), cell(term.w), cell(term.p))),
      left > 0 ? h("tr", { class: "muted" }, h("td", { colspan: 3 }, t("number.others", { n: left })), cell(told.others)) : null)));
}
