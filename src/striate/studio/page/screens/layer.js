// @ts-check
/** Screen 4: all maps of one layer, in order, on one scale; the chosen channel large; kernels; files. */
import { part } from "../api.js";
import { colourTable, packedColour, PALETTES, wholeRange } from "../core/colour.js";
import { npyBytes } from "../core/decode.js";
import { csvText, differenceMaps, histogramOf } from "../core/format.js";
import { channelOrder, fittingZoom, paintBand, shrinkMaps, tilingOf, wideEnough, zoomSteps } from "../core/tiles.js";
import { channelView, histogramView, kernelView, themeName } from "../ui/channel.js";
import { pictureGrid } from "../ui/grid.js";
import { fill, h, newest } from "../store.js";

/**
 * @typedef {import("../main.js").Context} Context @typedef {import("../main.js").View} View @typedef {import("../wire.js").Layer} Layer
 * @typedef {import("../core/format.js").Stats} Stats @typedef {import("../core/colour.js").Range} Range
 * @typedef {{run: string, layer: Layer, maps: Uint8Array, height: number, width: number, stats: Stats, figure: Float32Array | null, net: Range | null, difference: boolean, meta: Record<string, any>}} Loaded
 */

const SORTS = ["index", "mean", "max", "spread", "zeros", "effect"];
const SCALES = ["map", "layer", "net"];

/** @param {Context} context @returns {HTMLElement} */
export function layer(context) {
  const { t, number, go, api, announce } = context;
  /** @type {Loaded | null} */
  let loaded = null;
  /** @type {number[]} */
  let order = [];
  const only = newest();
  const pick = h("select", { "aria-label": t("layer.layer"), onchange: () => go({ layer: pick.value }) });
  const sort = chooser("sort", SORTS);
  const scale = chooser("scale", SCALES);
  const dead = ticked("dead", t("layer.hide_dead"));
  const diff = ticked("diff", t("layer.difference"));
  const zooms = h("p", { class: "tabs" }, h("button", { "aria-label": t("layer.smaller"), onclick: () => zoomed(-1) }, "−"), h("button", { "aria-label": t("layer.larger"), onclick: () => zoomed(1) }, "+"));
  const classes = h("select", { "aria-label": t("layer.effect_on"), onchange: () => go({ class: classes.value }, { replace: true }) });
  const effect = h("label", {}, h("span", { class: "muted" }, t("layer.effect_on")), classes);
  const tabs = h("p", { class: "tabs" }, ["maps", "kernels", "table"].map((name) => h("button", { "data-tab": name, onclick: () => go({ tab: name === "maps" ? undefined : name }, { replace: true }) }, t(`layer.tab_${name}`))));
  const caption = h("p", { class: "muted caption" });
  const pointed = h("p", { class: "value" });
  const legend = h("div", { class: "legend" });
  const title = h("h2", {});
  const facts = h("dl", {});
  const bars = h("div", {});
  const large = channelView(context);
  const grid = pictureGrid({
    label: t("layer.maps"), text: (place) => sentence(order[place] ?? 0),
    focus: (place) => { go({ c: order[place], y: undefined, x: undefined }, { replace: true }); announce(sentence(order[place] ?? 0)); },
    enter: ({ place, y, x }) => { const map = loaded; if (map) choose(map, order[place] ?? 0, y * shrunkBy, x * shrunkBy); large.focus(); },
    point: (spot) => point(spot),
  });
  const maps = h("section", { class: "stack" }, legend, h("div", { class: "scroll" }, grid.element), pointed);
  const other = h("section", { class: "stack", hidden: true });
  const side = h("section", { class: "card channel" }, title, large.element, facts, bars);
  const files = h("details", { class: "menu" }, h("summary", {}, t("layer.save")), h("div", {}, ["png", "csv", "npy", "npy_layer"].map((kind) => h("button", { onclick: () => { files.open = false; void save(kind).catch(context.fail); } }, t(`layer.save_${kind}`)))));
  const element = h("div", { class: "layer stack" },
    h("div", { class: "row" }, h("h1", {}, t("screen.layer")), caption),
    h("div", { class: "row tools" }, h("span", { class: "tabs" }, h("button", { "aria-label": t("layer.before"), onclick: () => stepLayer(-1) }, "‹"), pick, h("button", { "aria-label": t("layer.after"), onclick: () => stepLayer(1) }, "›")), tabs, sort, effect, scale, zooms, dead, diff, files),
    h("div", { class: "split wide" }, h("div", { class: "stack" }, maps, other), side));

  /** @param {string} name @param {string[]} values */
  function chooser(name, values) {
    const select = h("select", { "data-choice": name, onchange: () => go({ [name]: select.value === values[0] ? undefined : select.value }, { replace: true }) }, values.map((value) => h("option", { value }, t(`layer.${name}_${value}`))));
    return h("label", {}, h("span", { class: "muted" }, t(`layer.${name}`)), select);
  }
  /** @param {string} name @param {string} text */
  function ticked(name, text) {
    const box = h("input", { type: "checkbox", onchange: () => go({ [name]: box.checked ? 1 : undefined }, { replace: true }) });
    return h("label", {}, box, text);
  }
  /** @param {number} by */
  function stepLayer(by) {
    const next = pick.options[pick.selectedIndex + by];
    if (next) go({ layer: next.value });
  }
  /** @param {number} by */
  function zoomed(by) {
    go({ zoom: Math.max(-6, Math.min(4, Number(context.view().address.zoom ?? 0) + by)) || undefined }, { replace: true });
  }
  /** @param {number} c */
  function sentence(c) {
    if (!loaded) return "";
    const { stats } = loaded;
    return t("layer.channel_says", { c, total: stats.lo.length, mean: stats.mean[c] ?? NaN, max: stats.hi[c] ?? NaN, nonzero: number(1 - (stats.zero_frac[c] ?? 0), { style: "percent" }) });
  }
  /** @param {Loaded} map @param {number} c @param {number} [y] @param {number} [x] */
  function choose(map, c, y = 0, x = 0) {
    if (map.layer.shape.length === 1) go({ screen: "number", c, y: undefined, x: undefined });
    else go({ c, y: y + sliceOf(map) * map.height, x }, { replace: true });
  }
  /** @param {{place: number, y: number, x: number} | null} spot */
  function point(spot) {
    if (!loaded || !spot) { pointed.textContent = "\u00a0"; return; }
    const c = order[spot.place] ?? 0;
    const { height, width, stats } = loaded;
    const y = Math.min(height - 1, spot.y * shrunkBy), x = Math.min(width - 1, spot.x * shrunkBy);
    const q = loaded.maps[(c * height + y) * width + x] ?? 0;
    const about = (stats.lo[c] ?? 0) + (((stats.hi[c] ?? 0) - (stats.lo[c] ?? 0)) * q) / 255;
    pointed.textContent = t("layer.points", { c, y, x, value: `≈ ${number(about, { maximumSignificantDigits: 3 })}` });
    if (!loaded.difference) exact(loaded, c, y, x);
  }
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  /** The exact value replaces the one of 8 bits when the pointer rests. @param {Loaded} map @param {number} c @param {number} y @param {number} x */
  function exact(map, c, y, x) {
    clearTimeout(waiting);
    waiting = setTimeout(() => api.arrays(`run/${part(map.run)}/channel?layer=${part(map.layer.id)}&c=${c}`).then((answer) => {
      const value = Object.values(answer.arrays)[0]?.data[(sliceOf(map) * map.height + y) * map.width + x];
      if (map === loaded && value !== undefined) pointed.textContent = t("layer.points", { c, y, x, value: number(value) });
    }, context.fail), 40);
  }
  context.leave(() => clearTimeout(waiting));
  /** Of volumes the middle slice is shown. @param {Loaded} map */
  const sliceOf = ({ meta }) => Number(meta["slice"] ?? 0);
  let shrunkBy = 1;

  function draw() {
    if (!loaded) return;
    const { address } = context.view();
    const { stats, run, difference, meta } = loaded;
    const count = stats.lo.length;
    const theme = themeName();
    const bad = stats.bad.reduce((sum, share) => sum + (share > 0 ? 1 : 0), 0);
    order = channelOrder(loaded.figure, count, address.dead ? (c) => (stats.zero_frac[c] ?? 0) < 1 : null);
    const chosen = Math.max(0, Math.min(count - 1, Number(address.c ?? order[0] ?? 0)));
    const whole = wholeRange(stats.lo, stats.hi);
    const range = address.scale === "net" ? loaded.net ?? whole : address.scale === "layer" ? whole : null;
    const own = (/** @type {number} */ c) => ({ lo: stats.lo[c] ?? NaN, hi: stats.hi[c] ?? NaN });
    const tables = Array.from({ length: count }, (_, c) => colourTable(own(c), range ?? own(c), theme));
    const field = { width: Math.max(120, maps.clientWidth || 600), height: Math.max(320, innerHeight - 300) };
    const { shrink, zoom } = zoomSteps(loaded, fittingZoom(order.length, loaded, field, 2), Number(address.zoom ?? 0));
    shrunkBy = shrink;
    const shrunk = shrink > 1 ? shrinkMaps(loaded.maps, count, loaded.height, loaded.width, shrink) : loaded;
    const tiling = tilingOf(order.length, shrunk, { ...wideEnough(shrunk, zoom), gap: 2 }, field.width);
    for (const [name, value] of Object.entries({ columns: tiling.columns, zoomy: tiling.zoomY, zoomx: tiling.zoomX })) grid.element.dataset[name] = String(value);
    grid.show(tiling, (band) => paintBand(tiling, band, shrunk.maps, tables, order, packedColour(PALETTES[theme].gap)), Math.max(0, order.indexOf(chosen)));
    caption.textContent = [loaded.layer.path, loaded.layer.op, loaded.layer.shape.join("×"), t("layer.shown", { n: order.length, total: meta["total"] ?? count }), difference ? t("layer.difference_note") : "", meta["slice"] === undefined ? "" : t("layer.slice", { slice: meta["slice"], depth: loaded.layer.shape[1] ?? 1 }), bad ? t("layer.bad_maps", { n: bad }) : ""].filter(Boolean).join(" · ");
    fill(legend, legendOf(range));
    title.textContent = t("layer.channel", { c: chosen });
    fill(facts, [["mean", stats.mean], ["max", stats.hi], ["min", stats.lo], ["spread", stats.std]].map(([name, values]) => h("div", {}, h("dt", {}, t(`layer.fact_${name}`)), h("dd", {}, number(/** @type {Float32Array} */ (values)[chosen] ?? NaN)))),
      h("div", {}, h("dt", {}, t("layer.fact_zeros")), h("dd", {}, number(stats.zero_frac[chosen] ?? NaN, { style: "percent", maximumFractionDigits: 1 }))),
      (stats.bad[chosen] ?? 0) > 0 && h("div", {}, h("dt", {}, t("layer.fact_bad")), h("dd", {}, number(stats.bad[chosen] ?? 0, { style: "percent", maximumFractionDigits: 1 }))));
    fill(bars, histogramView(context, histogramOf(loaded.maps, count, stats, whole, 48), whole, t("layer.histogram")));
    large.element.hidden = difference;
    if (!difference) void large.show({ run, layer: loaded.layer.id, c: chosen, y: address.y === undefined ? undefined : Number(address.y), x: address.x === undefined ? undefined : Number(address.x), range, layerShape: loaded.layer.shape });
    drawOther(address.tab ?? "maps");
    element.dataset.ready = run;
    element.dataset.layer = loaded.layer.id;
  }

  /** @param {Range | null} range */
  function legendOf(range) {
    const theme = themeName();
    if (!range) return [h("span", { class: "muted" }, t("layer.scale_note"))];
    const canvas = h("canvas", { class: "pixels", width: 256, height: 1, role: "img", "aria-label": t("layer.legend", { lo: range.lo, hi: range.hi }) });
    const table = colourTable(range, range, theme);
    canvas.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(table.buffer), 256, 1), 0, 0);
    const zero = range.lo < 0 && range.hi > 0 ? h("span", { class: "zero", style: { "inset-inline-start": `${(100 * -range.lo) / (range.hi - range.lo)}%` } }, "0") : null;
    return [h("span", { class: "figure" }, number(range.lo)), h("span", { class: "ramp" }, canvas, zero), h("span", { class: "figure" }, number(range.hi))];
  }

  let kernels = ""; // whose kernels are shown
  /** @param {string} tab */
  function drawOther(tab) {
    for (const button of tabs.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.tab === tab));
    maps.hidden = tab !== "maps";
    other.hidden = tab === "maps";
    if (!loaded || tab === "maps") return;
    const c = Number(context.view().address.c ?? 0);
    const wanted = tab === "kernels" ? `${loaded.layer.id} ${c}` : "";
    if (!wanted) fill(other, tableOf(loaded));
    else if (wanted !== kernels) fill(other, kernelView(context, loaded.layer, c));
    kernels = wanted;
  }

  /** @param {Loaded} map */
  function tableOf({ stats }) {
    const page = Math.max(0, Number(context.view().address.page ?? 0));
    const rows = order.slice(page * 64, page * 64 + 64);
    const cells = (/** @type {number} */ c) => [stats.mean, stats.lo, stats.hi, stats.std].map((values) => h("td", { class: "number" }, number(values[c] ?? NaN)));
    return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("layer.tab_table") }, h("table", {}, h("thead", {}, h("tr", {}, ["channel", "mean", "min", "max", "spread", "zeros"].map((name) => h("th", { class: "number", scope: "col" }, t(`layer.fact_${name}`))))),
      h("tbody", {}, rows.map((c) => h("tr", {}, h("th", { class: "number", scope: "row" }, number(c)), cells(c), h("td", { class: "number" }, number(stats.zero_frac[c] ?? NaN, { style: "percent", maximumFractionDigits: 1 })))))),
      h("p", { class: "row" }, h("button", { disabled: page === 0, onclick: () => go({ page: page - 1 || undefined }, { replace: true }) }, t("shared.previous")), h("span", {}, t("shared.page", { page: page + 1, pages: Math.max(1, Math.ceil(order.length / 64)) })), h("button", { disabled: (page + 1) * 64 >= order.length, onclick: () => go({ page: page + 1 }, { replace: true }) }, t("shared.next"))));
  }

  /** @param {View} view @param {Layer} of @returns {Promise<Loaded>} */
  async function load({ address, run, b, net }, of) {
    if (!run || !net) throw new Error("no run");
    const maps = (/** @type {string} */ id) => api.arrays(`run/${part(id)}/maps?layer=${part(of.id)}`);
    const difference = Boolean(address.diff && b);
    const [first, second, ranges] = await Promise.all([maps(run.run_id), difference && b ? maps(b.run_id) : null, address.scale === "net" ? api.get(`run/${part(run.run_id)}/ranges`) : null]);
    const [count = 1, height = 1, width = 1] = mapShape(first.arrays["maps"]?.shape ?? []);
    const data = /** @type {Uint8Array} */ (first.arrays["maps"]?.data);
    const stats = statsOf(first);
    const two = second ? differenceMaps(data, stats, /** @type {Uint8Array} */ (second.arrays["maps"]?.data), statsOf(second)) : { maps: data, stats };
    return { run: run.run_id, layer: of, ...two, height, width, difference, meta: first.meta, figure: await figureOf(address.sort ?? "index", run, of, two.stats, count), net: ranges && wholeRange(ranges.lo, ranges.hi) };
  }

  /** @param {string} by @param {import("../wire.js").Run} run @param {Layer} of @param {Stats} stats @param {number} count @returns {Promise<Float32Array | null>} */
  async function figureOf(by, run, of, stats, count) {
    if (by !== "effect") return { mean: stats.mean, max: stats.hi, spread: stats.std, zeros: stats.zero_frac }[by] ?? null;
    const { address } = context.view();
    if (of.id.startsWith("#")) { // a function in a forward: no module whose output a gradient could be asked for
      context.fail(new Error(t("layer.no_effect", { layer: of.path || of.id })));
      return null;
    }
    const answer = await api.arrays(`run/${part(run.run_id)}/effect?layer=${part(of.id)}&class=${part(address.class ?? String(run.top[0]?.index ?? 0))}`);
    return /** @type {Float32Array} */ (Object.values(answer.arrays)[0]?.data ?? new Float32Array(count));
  }

  /** @param {string} kind */
  async function save(kind) {
    if (!loaded) return;
    const { run, layer: of, stats } = loaded;
    const c = order[grid.at()] ?? 0;
    const name = `${of.path.replaceAll(/[^\w.-]+/g, "_") || "net"}-${run.slice(0, 8)}`;
    const exact = async (/** @type {string} */ query) => Object.values((await api.arrays(`run/${part(run)}/channel?layer=${part(of.id)}${query}`)).arrays)[0];
    if (kind === "png") return savedFile(`${name}.png`, await grid.file());
    if (kind === "csv") return savedFile(`${name}.csv`, new Blob([csvText([["channel", "mean", "min", "max", "std", "zero_fraction"], ...order.map((each) => [each, ...[stats.mean, stats.lo, stats.hi, stats.std, stats.zero_frac].map((values) => values[each] ?? NaN)])])], { type: "text/csv" }));
    const array = await exact(kind === "npy" ? `&c=${c}` : "");
    if (array) savedFile(kind === "npy" ? `${name}-channel${c}.npy` : `${name}.npy`, new Blob([npyBytes(/** @type {Float32Array} */ (array.data), array.shape)]));
  }

  let asked = "";
  context.watch((view) => {
    const { address, net, run, b } = view;
    const of = net && layerOf(net, address.layer);
    if (!run || !of) return;
    fill(pick, net.layers.map((each) => h("option", { value: each.id, selected: each.id === of.id }, `${each.path} · ${each.op} · ${each.shape.join("×")}`)));
    for (const select of /** @type {NodeListOf<HTMLSelectElement>} */ (element.querySelectorAll("select[data-choice]"))) select.value = address[select.dataset["choice"] ?? ""] ?? select.options[0]?.value ?? "";
    for (const [label, on] of /** @type {[HTMLElement, boolean][]} */ ([[dead, Boolean(address.dead)], [diff, Boolean(address.diff)]])) /** @type {HTMLInputElement} */ (label.firstChild).checked = on;
    diff.hidden = !b;
    effect.hidden = address.sort !== "effect";
    fill(classes, run.top.map((one) => h("option", { value: one.index, selected: String(one.index) === address.class }, one.class)));
    const key = [run.run_id, of.id, b && address.diff ? b.run_id : "", address.sort, address.sort === "effect" ? address.class : "", address.scale === "net"].join(" ");
    if (key === asked) return draw();
    asked = key;
    element.setAttribute("aria-busy", "true");
    void only(load(view, of), (next) => {
      loaded = next;
      element.removeAttribute("aria-busy");
      draw();
      for (const near of nearLayers(net, of)) api.arrays(`run/${part(run.run_id)}/maps?layer=${part(near.id)}`).catch(() => {});
    }, (error) => { asked = ""; element.removeAttribute("aria-busy"); context.fail(error); });
  });
  context.theme(draw);
  let wide = 0;
  const resized = new ResizeObserver(() => {
    if (maps.clientWidth !== wide && maps.clientWidth) draw();
    wide = maps.clientWidth;
  });
  resized.observe(maps);
  context.leave(() => resized.disconnect());
  return element;
}

/** The layer of an address; without one the first that has maps. @param {import("../wire.js").NetCard} net @param {string | undefined} id */
export function layerOf(net, id) {
  return net.layers.find((each) => each.id === id) ?? net.layers.find((each) => each.shape.length > 1) ?? net.layers[0] ?? null;
}

/** @param {import("../wire.js").NetCard} net @param {Layer} of */
function nearLayers(net, of) {
  const at = net.layers.indexOf(of);
  return [net.layers[at + 1], net.layers[at - 1]].filter((each) => each !== undefined);
}

/** Rows and columns of maps [C, H, W], of series [C, T], of vectors [C]; of volumes [C, D, H, W] all slices below each other. @param {number[]} shape */
function mapShape(shape) {
  const [count = 1, ...sides] = shape;
  return [count, sides.slice(0, -1).reduce((a, b) => a * b, 1), sides.at(-1) ?? 1];
}

/** @param {import("../core/decode.js").Tensors} answer @returns {Stats} */
function statsOf({ arrays }) {
  const read = (/** @type {string} */ name) => /** @type {Float32Array} */ (arrays[name]?.data ?? new Float32Array());
  return { lo: read("lo"), hi: read("hi"), mean: read("mean"), std: read("std"), zero_frac: read("zero_frac"), bad: read("bad") };
}

/** Hands a file to the person. @param {string} name @param {Blob} blob */
function savedFile(name, blob) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
