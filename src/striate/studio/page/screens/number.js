// @ts-check
/** Screen 5: one number: what it was made of, added up again, what follows it, and the way back to the pixel. */
import { part } from "../api.js";
import { tilingOf } from "../core/tiles.js";
import { colourPixels } from "../core/colour.js";
import { themeName } from "../ui/channel.js";
import { pictureGrid } from "../ui/grid.js";
import { centreOn, channelBars, channelTables, digitsOf, termTable, windowMap, wireNumber } from "../ui/window.js";
import { fill, h, newest } from "../store.js";

/**
 * @typedef {import("../main.js").Context} Context @typedef {import("../main.js").View} View @typedef {import("../address.js").Address} Address
 * @typedef {import("../wire.js").Number} NumberWire @typedef {import("../wire.js").NetCard} NetCard
 * @typedef {import("../ui/window.js").Spot} Spot @typedef {import("../ui/window.js").Plane} Plane @typedef {import("../ui/window.js").AllTerms} AllTerms
 * @typedef {{run: string, spot: Spot, told: NumberWire | null, terms: AllTerms | null, source: Plane | null, out: Plane, ci: number}} Looked
 *   `told` is null for a number of the input; `ci` is the place of the input channel that is shown
 */

const NAMES = /** @type {Record<number, ("c" | "z" | "y" | "x")[]>} */ ({ 0: [], 1: ["c"], 2: ["c", "x"], 3: ["c", "y", "x"], 4: ["c", "z", "y", "x"] });
const LARGEST_WINDOW = 400; // cells beyond which a window is shown on its map alone
const SYMBOLS = /** @type {Record<string, string>} */ ({ mean: "μ", var: "σ²", eps: "ε", alpha: "α", alpha2: "β", beta: "β", gamma: "γ" });

/** What the address calls a place. @param {Spot} spot */
function placedAddress({ layer, at, item }) {
  const names = NAMES[at.length];
  /** @type {Record<string, string | number | undefined>} */
  const cell = { c: undefined, z: undefined, y: undefined, x: undefined, at: names ? undefined : at.join(","), item: item || undefined, ci: undefined };
  names?.forEach((name, i) => { cell[name] = at[i]; });
  return { layer, ...cell };
}

/** The place that the address names; what it leaves open is the first channel and the middle; `asked` as it was written. @param {Address} address @param {NetCard} net @returns {Spot & {asked: string}} */
function spotOf(address, net) {
  const layer = address.layer || net.layers[0]?.id || "";
  const shape = layer === "#input" ? net.input.shape : net.layers.find(({ id }) => id === layer)?.shape;
  const names = shape ? NAMES[shape.length] ?? [] : /** @type {("c" | "z" | "y" | "x")[]} */ (["c", "z", "y", "x"]).filter((name) => address[name] !== undefined);
  const at = address["at"] ? address["at"].split(",") : names.map((name, i) => address[name] ?? (name === "c" ? 0 : Math.floor((shape?.[i] ?? 0) / 2)));
  return { layer, at: at.map(Number), asked: at.join(","), item: Number(address["item"] ?? 0), name: "" };
}

/** All steps back that an address holds. @param {string | undefined} text @returns {Spot[]} */
export function readTrail(text) {
  return (text ?? "").split(";").filter(Boolean).map((step) => {
    const [layer = "", at = "", item = "0", name = ""] = step.split(",");
    return { layer: decodeURIComponent(layer), at: at.split(".").filter(Boolean).map(Number), item: Number(item), name: decodeURIComponent(name) };
  });
}

/** None where somebody wrote into the address what is no way. @param {string | undefined} text */
function readableTrail(text) {
  try { return readTrail(text); } catch { return []; }
}

/** The steps that led to a place; none where the address has gone on to another place since. @param {string | undefined} text @param {Spot} here */
export function trailTo(text, here) {
  const steps = readableTrail(text);
  const last = steps.pop();
  return last?.layer === here.layer && last.at.join() === here.at.join() ? steps : [];
}

/** The steps back, the last of them the place they led to. @param {Spot[]} trail */
export function writeTrail(trail) {
  return trail.map(({ layer, at, item, name }) => [encodeURIComponent(layer), at.join("."), item, encodeURIComponent(name)].join(",")).join(";");
}

/** @param {Context} context @returns {HTMLElement} */
export function number(context) {
  const { t, go, api, announce } = context;
  /** @type {Looked | null} */
  let looked = null;
  let refocus = false;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let playing;
  const only = newest();
  const pick = h("select", { "aria-label": t("layer.layer"), onchange: () => go({ layer: pick.value, z: undefined, at: undefined, item: undefined, ci: undefined, trail: undefined }) });
  const caption = h("p", { class: "muted caption" });
  const crumbs = h("ol", { class: "crumbs" });
  const result = h("section", { class: "card result" });
  const chain = h("section", { class: "card" });
  const inTitle = h("h2", {});
  const outTitle = h("h2", {});
  const inMap = windowMap(context, (y, x) => picked(y, x));
  const out = pictureGrid({
    label: t("number.out_map"), text: (place) => cellText(place),
    focus: (place) => { slide(place); announce(cellText(place)); },
    point: () => {}, key: () => play(),
  });
  const stepper = h("p", { class: "row" }, h("button", { "aria-label": t("number.back"), onclick: () => step(-1) }, "‹"), h("button", { "aria-label": t("number.on"), onclick: () => step(1) }, "›"), h("button", { class: "play", "aria-pressed": "false", onclick: () => play() }, t("number.play")));
  const inPart = h("section", { class: "stack" }, inTitle, inMap.element);
  const outBox = h("div", { class: "scroll" }, out.element);
  const outPart = h("section", { class: "stack" }, outTitle, outBox, stepper);
  const arrow = h("span", { class: "sign", "aria-hidden": "true" }, "→");
  const parts = h("section", { class: "card" });
  const table = h("button", { "aria-pressed": "false", onclick: () => go({ tab: context.view().address["tab"] ? undefined : "table" }, { replace: true }) }, t("shared.table"));
  const element = h("div", { class: "onenumber stack" },
    h("div", { class: "row" }, h("h1", {}, t("screen.number")), caption),
    h("div", { class: "row tools" }, pick, table), h("nav", { "aria-label": t("number.trail") }, crumbs),
    h("div", { class: "pair" }, result, h("div", { class: "stack" }, chain, h("div", { class: "row maps" }, inPart, arrow, outPart))), parts);

  /** The channel and the slice that a map shows. @param {number[]} at */
  const lead = (at) => at.slice(0, Math.max(0, at.length > 2 ? at.length - 2 : at.length - 1));

  /** @param {string} run @param {string} layer @param {number[]} at @param {number} item @returns {Promise<Plane>} */
  async function planeOf(run, layer, at, item) {
    const [c, z] = lead(at);
    const answer = await api.arrays(`run/${part(run)}/plane?layer=${part(layer)}&item=${item}${c === undefined ? "" : `&c=${c}`}${z === undefined ? "" : `&z=${z}`}`);
    const { data, shape } = /** @type {any} */ (answer.arrays["map"]);
    return { values: data, height: shape[0], width: shape[1] };
  }

  /** @param {View} view @param {string} run @param {NetCard} net @returns {Promise<Looked>} */
  async function load({ address }, run, net) {
    const spot = spotOf(address, net);
    const query = `layer=${part(spot.layer)}&at=${part(spot.asked)}&item=${spot.item}`;
    const outside = planeOf(run, spot.layer, spot.at, spot.item);
    outside.catch(() => {}); // what is wrong with the place is said by the answer about the number
    if (spot.layer.startsWith("#input")) {
      const plane = await outside;
      const [y, x] = spot.at.length > 2 ? spot.at.slice(-2) : [0, spot.at.at(-1)];
      if (!(Number(y) >= 0 && Number(y) < plane.height && Number(x) >= 0 && Number(x) < plane.width)) throw new Error(`at=${spot.asked}: ${net.input.shape.join("×")}`);
      return { run, spot: { ...spot, name: "input" }, told: null, terms: null, source: null, out: plane, ci: 0 };
    }
    const told = /** @type {NumberWire} */ (await api.get(`run/${part(run)}/number?${query}`));
    const main = told.terms.find(({ index }) => index === told.main) ?? told.terms.find(({ at }) => at);
    const cells = told.kernel.reduce((a, b) => a * b, 1);
    const channels = told.channels ?? [0, 1, 1];
    const ci = Math.min((channels[1] ?? 1) - (channels[0] ?? 0) - 1, Number(address["ci"] ?? (main?.ci ?? 0) - (channels[0] ?? 0)));
    const at = main?.at ? (told.kernel.length && told.channels ? [(channels[0] ?? 0) + ci, ...main.at.slice(1)] : main.at) : null;
    const whole = told.kernel.length && cells <= LARGEST_WINDOW ? api.arrays(`run/${part(run)}/terms?${query}`) : null;
    const source = at && told.source ? planeOf(run, main?.layer ?? told.source.layer, at, main?.item ?? 0) : null;
    const [all, inside, outer] = await Promise.all([whole, source, outside]);
    /** @type {any} */
    const arrays = all?.arrays;
    const terms = arrays ? { a: arrays.a.data, w: arrays.w.data, mark: arrays.mark.data, at: arrays.at.data, rank: arrays.at.shape[1] } : null;
    return { run, spot: { ...spot, item: told.item, name: told.name }, told, terms, source: inside, out: outer, ci };
  }

  /** @param {{layer: string, at: number[], item: number}} to */
  function walk(to) {
    if (!looked) return;
    refocus = element.contains(document.activeElement);
    stop();
    const there = { ...to, name: "" };
    go({ ...placedAddress(there), trail: writeTrail([...trailTo(context.view().address["trail"], looked.spot), looked.spot, there]) });
  }
  /** One of the terms, by its place among all. @param {number} index */
  function walkTo(index) {
    const { told, terms } = looked ?? {};
    if (!told?.source || !terms || terms.mark[index] === 1 || terms.mark[index] === 2) return;
    walk({ layer: told.source.layer, at: Array.from({ length: terms.rank }, (_, k) => terms.at[index * terms.rank + k] ?? 0), item: looked?.spot.item ?? 0 });
  }
  /** A cell of the window was clicked on the map. @param {number} y @param {number} x */
  function picked(y, x) {
    if (!looked?.told?.source) return;
    const { told, ci } = looked;
    const main = told.terms.find(({ index }) => index === told.main)?.at ?? told.terms.find(({ at }) => at)?.at;
    if (!main) return;
    const at = [...main];
    if (at.length > 1 && told.channels) at[0] = (told.channels[0] ?? 0) + ci;
    at[at.length - 1] = x;
    if (at.length > 2) at[at.length - 2] = y;
    walk({ layer: told.source?.layer ?? "", at, item: looked.spot.item });
  }

  /** The place in the map that is shown. @param {Looked} now */
  const placeIn = ({ spot: { at }, out: { width } }) => (at.length > 2 ? (at.at(-2) ?? 0) * width : 0) + (at.at(-1) ?? 0);
  /** @param {number} place */
  function cellText(place) {
    if (!looked) return "";
    const { out: { values, width, height } } = looked;
    return t(height > 1 ? "layer.cell" : "layer.cell1", { y: Math.floor(place / width), x: place % width, value: digitsOf(context, values[place] ?? NaN) });
  }
  /** @param {number} place */
  function slide(place) {
    if (!looked) return;
    const { spot, out: { width } } = looked;
    const at = [...spot.at];
    at[at.length - 1] = place % width;
    if (at.length > 2) at[at.length - 2] = Math.floor(place / width);
    go({ ...placedAddress({ ...spot, at }), ci: context.view().address["ci"], trail: undefined }, { replace: true });
  }
  /** @param {number} by */
  function step(by) {
    if (!looked) return;
    const next = placeIn(looked) + by;
    if (next < 0 || next >= looked.out.values.length) stop();
    else slide(next);
  }
  function stop() {
    clearInterval(playing);
    playing = undefined;
    stepper.querySelector(".play")?.setAttribute("aria-pressed", "false");
  }
  function play() {
    if (playing !== undefined) { stop(); return; }
    stepper.querySelector(".play")?.setAttribute("aria-pressed", "true");
    playing = setInterval(() => step(1), 600);
  }
  context.leave(stop);

  /** A formula with its names, or with the numbers that they stand for. @param {string} formula @param {Record<string, any> | null} values */
  function written(formula, values) {
    return formula.replaceAll("-", "−").replace(/\{([^}]+)\}/g, (_, name, at, whole) => {
      if (!values) return SYMBOLS[name] ?? name;
      const value = wireNumber(values[name]);
      const text = digitsOf(context, value, 6);
      return value < 0 && /[·+−/√]$/.test(whole.slice(0, at).trimEnd()) ? `(${text})` : text;
    });
  }
  /** @param {{layer: string, name: string, op: string, formula: string, symbols: Record<string, any>, value: any}} stage @param {(() => void) | null} open */
  function stageOf({ layer, name, op, formula, symbols, value }, open) {
    return h("li", { "data-layer": layer }, open ? h("button", { class: "walk", onclick: open }, name) : h("strong", { dir: "auto" }, name), h("span", { class: "muted" }, op),
      h("p", { class: "formula" }, h("span", {}, written(formula, null)), Object.keys(symbols).length && !/^\{[^}]*\}$/.test(formula) ? h("span", {}, ` = ${written(formula, symbols)}`) : null, h("strong", {}, ` = ${digitsOf(context, wireNumber(value), 6)}`)));
  }

  function draw() {
    if (!looked) return;
    const { spot, told, run } = looked;
    const { net, address } = context.view();
    const listed = net?.layers ?? [];
    fill(pick, [...listed.map(({ id, path, op }) => h("option", { value: id, selected: id === spot.layer }, `${path} · ${op}`)),
      listed.some(({ id }) => id === spot.layer) ? null : h("option", { value: spot.layer, selected: true }, spot.name)]);
    drawTrail(trailTo(address["trail"], spot), spot);
    const size = told ? told.shape : null;
    caption.textContent = [spot.name, told?.op, size?.join("×")].filter(Boolean).join(" · ");
    fill(result, told ? resultOf(told) : pixelOf(spot));
    chain.hidden = !told;
    if (told) fill(chain, h("h2", {}, t("number.chain")), h("ol", { class: "chain" }, stageOf(told, null), told.after.map((stage) => stageOf(stage, () => go({ ...placedAddress({ ...spot, layer: stage.layer }), trail: undefined })))));
    drawParts(told);
    drawMaps();
    table.setAttribute("aria-pressed", String(address["tab"] === "table"));
    table.hidden = !told?.kernel.length;
    element.removeAttribute("aria-busy");
    element.dataset.ready = run;
    element.dataset.layer = spot.layer;
    element.dataset.at = spot.at.join(",");
    if (refocus) (/** @type {HTMLElement | null} */ (parts.querySelector("td[tabindex='0'], button.walk") ?? crumbs.querySelector("li:last-child")))?.focus();
    refocus = false;
  }

  /** @param {Spot[]} trail @param {Spot} here */
  function drawTrail(trail, here) {
    const name = (/** @type {Spot} */ { name, at }) => `${name} [${at.join(", ")}]`;
    fill(crumbs, [...trail.map((step, i) => h("li", {}, h("button", { onclick: () => go({ ...placedAddress(step), trail: i ? writeTrail(trail.slice(0, i + 1)) : undefined }) }, name(step)))),
      h("li", { "aria-current": "step", tabindex: -1 }, name(here))]);
  }

  /** @param {NumberWire} told */
  function resultOf(told) {
    const [value, sum, apart] = [told.value, told.sum64, told.difference].map(wireNumber);
    const known = told.kind !== "unknown";
    const fact = (/** @type {string} */ name, /** @type {string} */ text) => h("div", {}, h("dt", {}, t(`number.${name}`)), h("dd", {}, text));
    const verdict = told.within === undefined ? (known && told.bound === undefined ? "no_bound" : "") : told.within ? "within" : "beyond";
    return [h("p", { class: "muted" }, t("number.pytorch", { dtype: told.dtype })), h("p", { class: "big figure", "data-value": String(told.value) }, digitsOf(context, value ?? NaN)),
      known ? h("dl", {}, fact("sum64", digitsOf(context, sum ?? NaN, 15)), fact("difference", digitsOf(context, apart ?? NaN, 3)), told.bound === undefined ? null : fact("bound", digitsOf(context, wireNumber(told.bound), 3))) : null,
      verdict ? h("p", { class: `verdict ${verdict}` }, t(`number.${verdict}`)) : null,
      h("p", {}, t(`number.rule_${told.kind.replaceAll(" ", "_")}`))];
  }
  /** @param {Spot} spot */
  function pixelOf(spot) {
    const value = looked?.out.values[placeIn(/** @type {Looked} */ (looked))] ?? NaN;
    return [h("p", { class: "muted" }, t("number.pixel")), h("p", { class: "big figure", "data-value": String(value) }, digitsOf(context, value)), h("p", {}, t("number.pixel_note")),
      h("p", { class: "row" }, h("button", { onclick: () => go({ screen: "input", y: spot.at.at(-2), x: spot.at.at(-1) }) }, t("number.change_pixel")))];
  }

  /** @param {NumberWire | null} told */
  function drawParts(told) {
    parts.hidden = !told || told.total === 0;
    if (!told || !looked || parts.hidden) { fill(parts); return; }
    const { terms, ci } = looked;
    const facts = [t("number.count", { n: told.total }), told.pad_terms ? t("number.count_padding", { count: told.pad_terms }) : "", told.gap_terms ? t("number.count_gaps", { count: told.gap_terms }) : "", groupText(told)].filter(Boolean).join(" · ");
    const settings = told.kernel.length ? [["kernel", told.kernel], ["stride", told.stride], ["padding", told.padding], ["dilation", told.dilation]].flatMap(([name, sides]) => (Array.isArray(sides) ? [`${t(`number.${name}`)} ${sides.join("×")}`] : [])).join(" · ") : "";
    const head = [h("h2", {}, t("number.terms")), h("p", { class: "muted" }, facts), settings ? h("p", { class: "muted" }, settings) : null];
    if (!terms || context.view().address["tab"] === "table") {
      fill(parts, head, termTable(context, told, (term) => walk({ layer: term.layer ?? told.source?.layer ?? "", at: term.at ?? [], item: term.item ?? 0 })));
      return;
    }
    const from = told.channels?.[0] ?? 0;
    const several = told.channel_sums.length > 1;
    fill(parts, head, h("div", { class: "stack" },
      h("div", { class: "stack" }, h("h3", {}, t("number.channel", { c: from + ci })), channelTables(context, told, terms, ci, walkTo), several ? h("p", { class: "figure" }, t("number.subtotal", { sum: digitsOf(context, wireNumber(told.channel_sums[ci]), 6) })) : null),
      several ? h("div", { class: "stack" }, h("h3", {}, t("number.by_channel")), channelBars(context, told, ci, (place) => go({ ci: place }, { replace: true }))) : null));
  }
  /** @param {NumberWire} told */
  function groupText({ groups, channels }) {
    if (!channels || !groups || groups < 2) return "";
    const [first = 0, end = 0, total = 0] = channels;
    return t("number.group", { groups, first, last: end - 1, total });
  }

  /** @param {string} name @param {number[]} from channel, and slice of a volume */
  const planeTitle = (name, [c, z]) => [name, c === undefined ? "" : t("number.channel", { c }), z === undefined ? "" : t("number.at_slice", { slice: z })].filter(Boolean).join(" · ");

  function drawMaps() {
    if (!looked) return;
    const { told, source, out: plane, spot, ci } = looked;
    inPart.hidden = arrow.hidden = !source;
    if (source && told) {
      const windows = told.window ?? [];
      const main = told.terms.find(({ index }) => index === told.main) ?? told.terms.find(({ at }) => at);
      const columns = windows.at(-1) ?? [main?.at?.at(-1) ?? null];
      const rows = windows.length > 1 ? windows.at(-2) ?? [] : windows.length ? [0] : [(main?.at?.length ?? 0) > 2 ? main?.at?.at(-2) ?? null : 0];
      const from = told.channels ? [(told.channels[0] ?? 0) + ci, ...lead(main?.at ?? []).slice(1)] : lead(main?.at ?? []);
      inTitle.textContent = planeTitle(main?.name ?? told.source?.name ?? "", from);
      inMap.show(source, rows, columns, [windows.length > 1 ? told.padding?.at(-2) ?? 0 : 0, told.padding?.at(-1) ?? 0], t("number.in_map"));
    }
    outTitle.textContent = planeTitle(spot.name, lead(spot.at));
    const zoom = Math.max(1, Math.floor(Math.min(252 / plane.width, 252 / plane.height)));
    const tiling = tilingOf(plane.values.length, { height: 1, width: 1 }, { zoomY: plane.height === 1 ? 24 : zoom, zoomX: zoom, gap: 0 }, plane.width * zoom);
    const finite = Array.from(plane.values).filter(Number.isFinite);
    const range = { lo: finite.reduce((a, b) => Math.min(a, b), Infinity), hi: finite.reduce((a, b) => Math.max(a, b), -Infinity) };
    const values = Float64Array.from(plane.values);
    out.show(tiling, (band) => {
      const first = band.row * tiling.columns;
      const colours = colourPixels(values.subarray(first, first + band.rows * tiling.columns), range, themeName());
      const pixels = new Uint32Array(tiling.fullWidth * band.height);
      for (let py = 0; py < band.height; py++) for (let px = 0; px < tiling.fullWidth; px++) pixels[py * tiling.fullWidth + px] = colours[Math.floor(py / tiling.zoomY) * plane.width + Math.floor(px / tiling.zoomX)] ?? 0;
      return pixels;
    }, placeIn(looked));
    centreOn(outBox, Math.floor(placeIn(looked) / plane.width) * tiling.zoomY, (placeIn(looked) % plane.width) * tiling.zoomX);
  }

  context.theme(draw);
  context.watch((view) => {
    if (!view.net || !view.run || view.net.id !== view.address.net) return;
    element.setAttribute("aria-busy", "true");
    void only(load(view, view.run.run_id, view.net), (next) => { looked = next; draw(); }, (error) => { element.removeAttribute("aria-busy"); stop(); context.fail(error); });
  });
  return element;
}
