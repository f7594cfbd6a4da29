// @ts-check
/** Lines over one axis on one canvas: what stands under the pointer is told as text, and all of it is there as a table. */
import { fill, h } from "../store.js";
import { themeName } from "./channel.js";

/**
 * @typedef {import("../main.js").Context} Context
 * @typedef {{name: string, xs: number[], values: (number | null)[], dashed?: boolean, hue?: number}} Curve
 */

/** One colour a line, told apart by colour-blind readers too; further lines take them again. */
const HUES = {
  light: ["#0b5cad", "#b35900", "#00795c", "#8b3a8b", "#57606a", "#1b1f24"],
  dark: ["#6cb2ff", "#ffb454", "#4fd0a8", "#dda0dd", "#9aa4af", "#e6e8eb"],
};
const CURVE_HEIGHT = 190;
const MARGIN = { left: 58, right: 12, top: 10, bottom: 24 };

/** Round numbers that span an axis: about `count`, all between `low` and `high`. @param {number} low @param {number} high @param {number} count */
export function axisTicks(low, high, count) {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high * (1 + 1e-9) + 1e-12; at++) ticks.push(Number((at * step).toPrecision(12)));
  return ticks;
}

/** Least and largest of the numbers; 0 to 1 where there are none, a little around where all are equal. @param {(number | null)[]} values */
export function spanOf(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (value !== null && Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low > high) return { low: 0, high: 1 };
  return low === high ? { low: low - Math.abs(low || 1) / 2, high: high + Math.abs(high || 1) / 2 } : { low, high };
}

/**
 * A chart; `draw` may be called as often as there is something new.
 * @param {Context} context @param {string} title @param {string} axis what stands along the axis
 */
export function curvesView(context, title, axis) {
  const { t, number } = context;
  const canvas = h("canvas", { class: "curves", role: "img", tabindex: 0 });
  const legend = h("p", { class: "row legend-lines" });
  const told = h("p", { class: "value muted" });
  const table = h("div", { class: "scroll", hidden: true });
  const asTable = h("button", { "aria-pressed": "false", onclick: () => { table.hidden = !table.hidden; asTable.setAttribute("aria-pressed", String(!table.hidden)); tabulate(); } }, t("runs.as_table"));
  const element = h("figure", { class: "stack" }, h("div", { class: "row" }, h("h3", {}, title), h("span", { class: "push" }, asTable)), legend, canvas, told, table);
  /** @type {Curve[]} */
  let curves = [];
  let place = -1;
  const xs = () => [...new Set(curves.flatMap((curve) => curve.xs))].sort((a, b) => a - b);

  function paint() {
    const wide = canvas.clientWidth;
    if (!wide) return;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(CURVE_HEIGHT * ratio);
    const draw = canvas.getContext("2d");
    if (!draw) return;
    draw.scale(ratio, ratio);
    const style = getComputedStyle(element);
    const all = xs();
    const x = spanOf(all), y = spanOf(curves.flatMap((curve) => curve.values));
    const px = (/** @type {number} */ value) => MARGIN.left + ((value - x.low) / (x.high - x.low)) * (wide - MARGIN.left - MARGIN.right);
    const py = (/** @type {number} */ value) => CURVE_HEIGHT - MARGIN.bottom - ((value - y.low) / (y.high - y.low)) * (CURVE_HEIGHT - MARGIN.top - MARGIN.bottom);
    draw.font = "12px system-ui, sans-serif";
    draw.fillStyle = style.getPropertyValue("color");
    draw.strokeStyle = getComputedStyle(canvas).borderTopColor || "gray"; // a custom property with two values is resolved by a real one
    for (const tick of axisTicks(y.low, y.high, 4)) {
      draw.beginPath();
      draw.moveTo(MARGIN.left, py(tick));
      draw.lineTo(wide - MARGIN.right, py(tick));
      draw.stroke();
      draw.textAlign = "end";
      draw.fillText(number(tick), MARGIN.left - 6, py(tick) + 4);
    }
    draw.textAlign = "center";
    for (const tick of axisTicks(x.low, x.high, Math.max(2, Math.min(8, Math.floor(wide / 90))))) draw.fillText(number(tick), px(tick), CURVE_HEIGHT - 6);
    curves.forEach((curve, at) => strokeCurve(draw, curve, curveHue(curve, at), px, py));
    if (place >= 0 && all[place] !== undefined) {
      draw.setLineDash([]);
      draw.strokeStyle = style.getPropertyValue("color");
      draw.beginPath();
      draw.moveTo(px(all[place] ?? 0), MARGIN.top);
      draw.lineTo(px(all[place] ?? 0), CURVE_HEIGHT - MARGIN.bottom);
      draw.stroke();
    }
  }

  function say() {
    const at = xs()[place];
    told.textContent = at === undefined ? "\u00a0" : [`${axis} ${number(at)}`, ...curves.map((curve) => `${curve.name} ${curveText(context, curve, at)}`)].join(" · ");
  }
  function tabulate() {
    if (table.hidden) return;
    fill(table, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, axis), curves.map((curve) => h("th", { scope: "col", class: "number" }, curve.name)))),
      h("tbody", {}, xs().slice(-200).map((at) => h("tr", {}, h("th", { scope: "row" }, number(at)), curves.map((curve) => h("td", { class: "number" }, curveText(context, curve, at))))))));
  }
  /** @param {number} to */
  function point(to) {
    const count = xs().length;
    place = count ? Math.max(0, Math.min(count - 1, to)) : -1;
    say();
    paint();
  }
  canvas.addEventListener("pointermove", (event) => {
    const all = xs();
    const x = spanOf(all);
    const at = x.low + ((event.offsetX - MARGIN.left) / Math.max(1, canvas.clientWidth - MARGIN.left - MARGIN.right)) * (x.high - x.low);
    point(all.reduce((best, value, i) => (Math.abs(value - at) < Math.abs((all[best] ?? 0) - at) ? i : best), 0));
  });
  canvas.addEventListener("pointerleave", () => { place = -1; say(); paint(); });
  canvas.addEventListener("keydown", (event) => {
    const step = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 })[event.key];
    if (step === undefined) return;
    event.preventDefault();
    point(place < 0 && step < 0 ? xs().length - 1 : place + step);
    context.announce(told.textContent ?? "");
  });
  const sized = new ResizeObserver(paint);
  sized.observe(canvas);
  context.leave(() => sized.disconnect());
  context.theme(() => draw(curves));

  /** @param {Curve[]} next */
  function draw(next) {
    curves = next;
    fill(legend, curves.map((curve, at) => h("span", { class: curve.dashed ? "key dashed" : "key", style: { "--hue": curveHue(curve, at) } }, curve.name)));
    canvas.setAttribute("aria-label", [title, ...curves.map((curve) => `${curve.name} ${curveText(context, curve, curve.xs[curve.xs.length - 1])}`)].join(", "));
    say();
    tabulate();
    paint();
  }
  return { element, draw };
}

/** @param {Curve} curve @param {number} at */
const curveHue = (curve, at) => HUES[themeName()][(curve.hue ?? at) % HUES.light.length] ?? "";

/** @param {Context} context @param {Curve} curve @param {number | undefined} at */
function curveText({ t, number }, curve, at) {
  const value = at === undefined ? null : curve.values[curve.xs.indexOf(at)];
  return value === null || value === undefined ? t("shared.unknown") : number(value);
}

/** @param {CanvasRenderingContext2D} draw @param {Curve} curve @param {string} hue @param {(value: number) => number} px @param {(value: number) => number} py */
function strokeCurve(draw, curve, hue, px, py) {
  draw.strokeStyle = hue;
  draw.lineWidth = 2;
  draw.setLineDash(curve.dashed ? [5, 4] : []);
  draw.beginPath();
  let gap = true;
  curve.xs.forEach((at, i) => {
    const value = curve.values[i];
    if (value === null || value === undefined || !Number.isFinite(value)) { gap = true; return; }
    draw[gap ? "moveTo" : "lineTo"](px(at), py(value));
    gap = false;
  });
  draw.stroke();
  if (curve.xs.length === 1 && curve.values[0] !== null) { draw.fillStyle = hue; draw.fillRect(px(curve.xs[0] ?? 0) - 3, py(curve.values[0] ?? 0) - 3, 6, 6); }
  draw.lineWidth = 1;
  draw.setLineDash([]);
}
